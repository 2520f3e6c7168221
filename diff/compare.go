package diff

// Result of comparing an observation with what was known before it.
type Result struct {
	// Snapshot is what is known now. Where Commit is false, only times that no
	// subscriber sees have moved (the last good poll); it still is what the
	// next observation is to be compared with.
	Snapshot Snapshot
	// Events in the order in which they are to be published, numbered.
	Events []Event
	// Commit says that Snapshot and Events must be stored, together.
	Commit bool
}
