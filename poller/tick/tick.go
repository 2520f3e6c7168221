package tick

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"restwatch/diff"
)

// Tick is one slot of one group, given to this replica to be worked.
type Tick struct {
	Group string
	// Slot as it was offered, to the nanosecond.
	Slot time.Time
	// Order ranks everything that is observed for this tick: later ticks of a
	// group have greater ones, whichever replica works them.
	Order diff.Order
	// Offered is when the tick was stored, by the bus's clock: nothing observed
	// for it is older.
	Offered diff.Time
	// Redelivered says that somebody was given this tick before: he may have
	// died, handed it back, or still be working.
	Redelivered bool
}

// slotLayout keeps the whole slot readable in the stream.
const slotLayout = time.RFC3339Nano

// messageID names a slot; the stream refuses a second message of the same id.
func messageID(group string, slot time.Time) string {
	return group + "@" + slot.UTC().Format(slotLayout)
}

// delivery is a tick on its way, with what is needed to answer for it.
type delivery struct {
	tick   Tick
	reply  string    // where the answer goes
	stored time.Time // by the server
}

// read makes a delivery of a message from the stream of that epoch.
func read(msg *nats.Msg, epoch int64) (delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return delivery{}, fmt.Errorf("read tick: %w", err)
	}
	id := msg.Header.Get(jetstream.MsgIDHeader)
	group, text, ok := strings.Cut(id, "@")
	slot, err := time.Parse(slotLayout, text)
	if !ok || err != nil || !strings.HasSuffix(msg.Subject, "."+group) {
		return delivery{}, fmt.Errorf("read tick: message %q of id %q is none", msg.Subject, id)
	}
	return delivery{
		tick: Tick{
			Group:       group,
			Slot:        slot,
			Order:       diff.Order{Epoch: epoch, Seq: meta.Sequence.Stream},
			Offered:     diff.TimeOf(meta.Timestamp),
			Redelivered: meta.NumDelivered > 1,
		},
		reply:  msg.Reply,
		stored: meta.Timestamp,
	}, nil
}
