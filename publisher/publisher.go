// Package publisher puts what package diff finds out on NATS, and reads it
// back. The stream is the only state there is.
//
// Bus is the service's side. Head is what the next observation is compared
// with; Commit stores what came out of it, all or nothing, and only on top of
// that very head. Whatever goes wrong on the way, a commit's events are stored
// once, in order, together with the snapshot that contains them, or not at all.
// Not promised: that the caller learns of a success. After ErrUndecided the
// head has to be read again, as after every other error.
//
// Reader is a subscriber's side. It needs no right but to read.
package publisher
