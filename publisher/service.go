package publisher

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// ServiceName is the NATS micro service that answers with snapshots.
const ServiceName = "restwatch"

// semver is the form that micro asks of a version.
var semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)([-+][0-9A-Za-z.+-]+)?$`)

// Serve answers requests on svc.<prefix>.snapshot.<ccId>.<vdn> with the VDN's
// newest snapshot message, byte for byte as it is stored. Of a split snapshot
// that is the main message with its number of parts, which are to be had, byte
// for byte too, by adding .<n> to the subject. Replicas share the requests.
// Errors have the codes 400 (no such subject), 404 (no snapshot yet) and 503
// (the stream cannot be read now). version is that of the program; one that
// micro does not accept becomes 0.0.0. Stop the service before the connection
// is closed.
func (b *Bus) Serve(version string) (micro.Service, error) {
	if !semver.MatchString(version) {
		version = "0.0.0"
	}
	svc, err := micro.AddService(b.nc, micro.Config{
		Name:        ServiceName,
		Version:     version,
		Description: "newest snapshot of a VDN, as stored",
		QueueGroup:  ServiceName,
	})
	if err != nil {
		return nil, fmt.Errorf("start snapshot service: %w", trimmed{err})
	}
	handler := micro.HandlerFunc(b.answer)
	for name, subject := range map[string]string{
		"snapshot": b.prefix.service() + ".*.*",
		"part":     b.prefix.service() + ".*.*.*",
	} {
		if err := svc.AddEndpoint(name, handler, micro.WithEndpointSubject(subject)); err != nil {
			_ = svc.Stop()
			return nil, fmt.Errorf("start snapshot service: %w", trimmed{err})
		}
	}
	return svc, nil
}

// answer reads through the leader: a subscriber that has seen a later event
// would take an older snapshot for a gap.
func (b *Bus) answer(r micro.Request) {
	v, part, ok := snapshotOf(r.Subject(), b.prefix.service())
	if !ok {
		b.refuse(r, "400", "want "+b.prefix.service()+".<ccId>.<vdn>")
		return
	}
	subject := b.prefix.snapshot(v)
	if part > 0 {
		subject = b.prefix.part(v, part)
	}
	ctx, cancel := context.WithTimeout(context.Background(), b.answerWithin)
	defer cancel()
	m, err := b.wire.last(ctx, subject)
	switch {
	case errors.Is(err, errNoMessage):
		b.refuse(r, "404", "no snapshot of VDN "+v.String()+" yet")
	case err != nil:
		b.log.Warn("snapshot request not answered", "vdn", v.String(), "error", err)
		b.refuse(r, "503", "the stream cannot be read now")
	default:
		b.sent(r.Respond(m.Data, micro.WithHeaders(micro.Headers{headerContentType: {ContentType}})))
	}
}

func (b *Bus) refuse(r micro.Request, code, why string) { b.sent(r.Error(code, why, nil)) }

// sent notes an answer that could not be sent. Whoever asked asks again.
func (b *Bus) sent(err error) {
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		b.log.Debug("snapshot request not answered", "error", err)
	}
}
