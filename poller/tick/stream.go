// Package tick decides which replica polls when, and leaves the deciding to the
// NATS server: every replica offers the same tick for a slot, a work-queue
// stream keeps one of them, and one durable consumer gives it to one replica.
//
// Promised, whichever replicas run: a slot is worked once; a group whose
// previous tick is still being worked skips the slot; a tick of a replica that
// died is given to another one after AckWait; a pause stops all replicas.
//
// Not promised: that nobody else works a tick. One that outlives its AckWait
// (a stopped process, a partition) runs twice, and a lost acknowledgement makes
// it come again. Whoever must exclude that fences its writes.
package tick

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// DefaultStream is the stream's name beside an event stream of the default name.
const DefaultStream = "TICK"

// restStream is the default name of the stream of events.
const restStream = "REST"

// durable is the one consumer that all replicas share.
const durable = "pollers"

// duplicates is how long a slot's message id is remembered: replicas whose
// clocks differ by more than this work a slot twice.
const duplicates = 30 * time.Second

// StreamName derives the tick stream's name from that of the event stream, so
// that two installations which share a NATS and chose different STREAM settings
// do not share ticks: "REST" (or none) gives "TICK", "X" gives "X_TICK".
func StreamName(rest string) string {
	if rest == "" || rest == restStream {
		return DefaultStream
	}
	return rest + "_" + DefaultStream
}

// StreamConfig is the work queue: at most one tick per group, so that a slot
// offered while the group is still being worked is refused, and in memory, since
// a tick that is lost is only a slot skipped. An empty stream means DefaultStream.
func StreamConfig(stream, prefix string, replicas int) jetstream.StreamConfig {
	if stream == "" {
		stream = DefaultStream
	}
	return jetstream.StreamConfig{
		Name:                 stream,
		Description:          "which group is to be polled next",
		Subjects:             []string{subject(prefix, ">")},
		Retention:            jetstream.WorkQueuePolicy,
		Storage:              jetstream.MemoryStorage,
		Replicas:             replicas,
		MaxMsgsPerSubject:    1,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		MaxAge:               time.Minute,
		Duplicates:           duplicates,
	}
}

func subject(prefix, group string) string { return "tick." + prefix + "." + group }

// checkGroup refuses a group that is no legal end of a subject.
func checkGroup(group string) error {
	if strings.ContainsAny(group, " \t\r\n*>@") {
		return fmt.Errorf("group %q: must not contain space, *, > or @", group)
	}
	for token := range strings.SplitSeq(group, ".") {
		if token == "" {
			return fmt.Errorf("group %q: want dot-separated words", group)
		}
	}
	return nil
}
