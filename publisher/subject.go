package publisher

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"restwatch/diff"
)

// prefix is the subject prefix of everything public, "rest.v1".
type prefix string

// Messages are published under ingest.<prefix> and stored and republished
// without that first word, so that nobody sees what the stream refused.
const ingest = "ingest."

func (p prefix) snapshot(v diff.VDN) string { return string(p) + ".snapshot." + tokens(v) }

func (p prefix) part(v diff.VDN, n int) string { return p.snapshot(v) + "." + strconv.Itoa(n) }

func (p prefix) feed(v diff.VDN) string { return string(p) + ".feed." + tokens(v) }

func (p prefix) event(e *diff.Event) string {
	return string(p) + ".event." + tokens(diff.VDN{CC: e.CC, ID: e.VDN}) + "." + string(e.Kind) + "." + strconv.Itoa(e.WorkNo)
}

// isEvent reports whether agent events may stand there.
func (p prefix) isEvent(subject string) bool {
	rest, ok := strings.CutPrefix(subject, string(p)+".event.")
	return ok && strings.Count(rest, ".") == 3
}

// service is where the snapshot service listens, outside of every stream.
func (p prefix) service() string { return "svc." + string(p) + ".snapshot" }

func tokens(v diff.VDN) string { return strconv.Itoa(v.CC) + "." + strconv.Itoa(v.ID) }

// snapshotOf reads a subject below base: <ccId>.<vdn> is part 0, the message
// itself, <ccId>.<vdn>.<n> is a part of a split one.
func snapshotOf(subject, base string) (v diff.VDN, part int, ok bool) {
	rest, ok := strings.CutPrefix(subject, base+".")
	if !ok {
		return v, 0, false
	}
	cc, rest, ok := strings.Cut(rest, ".")
	if !ok {
		return v, 0, false
	}
	id, n, split := strings.Cut(rest, ".")
	if v.CC, ok = number(cc); !ok {
		return v, 0, false
	}
	if v.ID, ok = number(id); !ok || v.Validate() != nil {
		return v, 0, false
	}
	if split {
		if part, ok = number(n); !ok || part == 0 {
			return v, 0, false
		}
	}
	return v, part, true
}

// number reads what strconv.Itoa writes and nothing else.
func number(s string) (int, bool) {
	if s == "" || len(s) > 9 || s[0] == '0' && s != "0" {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + int(s[i]-'0')
	}
	return n, true
}

// checkPrefix refuses what would not work as the beginning of a subject.
func checkPrefix(p string) error {
	for t := range strings.SplitSeq(p, ".") {
		if t == "" || strings.ContainsAny(t, "*> \t\r\n") {
			return fmt.Errorf("subject prefix %q: want words joined by dots, without wildcards or spaces", p)
		}
	}
	if strings.HasPrefix(p, "$") || strings.HasPrefix(p, "_INBOX") || strings.HasPrefix(p+".", ingest) || strings.HasPrefix(p+".", "svc.") {
		return fmt.Errorf("subject prefix %q: its first word is taken", p)
	}
	return nil
}

// StreamConfig is the stream REST with the options' names and limits.
func StreamConfig(o Options) jetstream.StreamConfig {
	o = o.withDefaults()
	in := ingest + o.Prefix + ".>"
	out := o.Prefix + ".>"
	return jetstream.StreamConfig{
		Name:               o.Stream,
		Subjects:           []string{in},
		Storage:            o.Storage,
		Replicas:           o.Replicas,
		SubjectTransform:   &jetstream.SubjectTransformConfig{Source: in, Destination: out},
		RePublish:          &jetstream.RePublish{Source: out, Destination: out},
		MaxAge:             o.Retention,
		Discard:            jetstream.DiscardOld,
		AllowAtomicPublish: true,
		AllowRollup:        true,
		AllowMsgTTL:        true,
		AllowDirect:        true,
	}
}
