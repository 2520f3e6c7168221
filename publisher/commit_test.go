package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"restwatch/diff"
	"restwatch/publisher/embedded"
)

var vdn = diff.VDN{CC: 1, ID: 170}

// audited reads the whole stream and checks it; it returns the number of events.
func audited(t testing.TB, b *Bus) int {
	t.Helper()
	var a Audit
	for m, err := range b.Reader().Messages(t.Context(), Query{Everything: true}) {
		if err == nil {
			err = a.Add(m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if torn, err := b.Reader().Torn(t.Context(), &a); err != nil || torn != nil {
		t.Errorf("torn batch of %v, %v", torn, err)
	}
	return a.Events
}

func TestCommitAndHead(t *testing.T) {
	s := start(t, embedded.Options{SyncAlways: true})
	b := openBus(t, dial(t, s), Options{})
	if got, seq, err := b.Head(t.Context(), vdn); err != nil || seq != 0 || got.Revision != 0 {
		t.Fatalf("got %v, %d, %v, want nothing yet", got, seq, err)
	}
	for i, events := range []int{0, 3, 1} {
		want, seq := commit(t, b, vdn, events, 5)
		got, gotSeq, err := b.Head(t.Context(), vdn)
		if err != nil || gotSeq != seq || !reflect.DeepEqual(got, want) {
			t.Errorf("commit %d: got head %v, %d, %v, want %v, %d", i, got, gotSeq, err, want, seq)
		}
		b.heads.drop(vdn)
		got, gotSeq, err = b.Head(t.Context(), vdn)
		if err != nil || gotSeq != seq || !reflect.DeepEqual(got, want) {
			t.Errorf("commit %d: got stored head\n%+v, %d, %v, want\n%+v, %d", i, got, gotSeq, err, want, seq)
		}
	}
	// Another bus loads what the first has stored, and is told of more.
	other := openBus(t, dial(t, s), Options{})
	none := diff.VDN{CC: 1, ID: 171}
	if err := other.Load(t.Context(), []diff.VDN{vdn, none}); err != nil {
		t.Fatal(err)
	}
	if h, ok := other.heads.current(vdn, other.wire.session()); !ok || h.snapshot.Revision != 3 {
		t.Errorf("got %v, %v after Load, want revision 3", h, ok)
	}
	if h, ok := other.heads.current(none, other.wire.session()); !ok || h.seq != 0 {
		t.Errorf("got %v, %v after Load of a VDN without snapshots, want sequence 0", h, ok)
	}
	prev, seq, err := other.Head(t.Context(), vdn)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, b, vdn, 1, 5)
	_, err = other.Commit(t.Context(), seq, &prev, made(vdn, &prev, 1, 5))
	if !errors.Is(err, ErrConflict) {
		t.Errorf("got %v, want a conflict", err)
	}
	if got, _, err := other.Head(t.Context(), vdn); err != nil || got.Revision != 4 {
		t.Errorf("got revision %d, %v after a conflict, want 4", got.Revision, err)
	}
	if got := audited(t, b); got != 5 {
		t.Errorf("got %d events stored, want 5", got)
	}
}

func TestCommitHeaders(t *testing.T) {
	b := memoryBus(t)
	commit(t, b, vdn, 0, 2)
	commit(t, b, vdn, 2, 2)
	if err := b.PublishFeed(t.Context(), diff.Feed{CC: 1, VDN: 170, Status: diff.OK}, true); err != nil {
		t.Fatal(err)
	}
	if err := b.PublishFeed(t.Context(), diff.Feed{CC: 1, VDN: 170, Status: diff.Down}, false); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range all(t, b) {
		h := m.Headers()
		for name := range h {
			if strings.HasPrefix(strings.ToLower(name), "ce-") || name == nats.MsgIdHdr {
				t.Errorf("%s: got header %q", m.Subject(), name)
			}
		}
		if h.Get("Content-Type") != ContentType {
			t.Errorf("%s: got content type %q", m.Subject(), h.Get("Content-Type"))
		}
		got = append(got, fmt.Sprintf("%s ttl=%s rollup=%s", m.Subject(), h.Get(nats.MsgTTLHdr), h.Get(nats.MsgRollup)))
	}
	want := []string{ // the first snapshot was rolled up
		"rest.v1.event.1.170.updated.101 ttl= rollup=",
		"rest.v1.event.1.170.updated.102 ttl= rollup=",
		"rest.v1.snapshot.1.170 ttl=never rollup=sub",
		"rest.v1.feed.1.170 ttl=2m0s rollup=",
		"rest.v1.feed.1.170 ttl= rollup=",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCommitRefusesGaps(t *testing.T) {
	b := memoryBus(t)
	prev, seq := commit(t, b, vdn, 0, 3)
	tests := map[string]func(*diff.Result){
		"revision skipped":       func(r *diff.Result) { r.Snapshot.Revision++ },
		"sequence skipped":       func(r *diff.Result) { r.Events[1].Sequence++ },
		"last sequence too high": func(r *diff.Result) { r.Snapshot.LastSequence++ },
		"event of another VDN":   func(r *diff.Result) { r.Events[0].VDN++ },
		"no such VDN":            func(r *diff.Result) { r.Snapshot.VDN = 0 },
	}
	for name, spoil := range tests {
		r := made(vdn, &prev, 2, 3)
		spoil(&r)
		if _, err := b.Commit(t.Context(), seq, &prev, r); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if _, _, err := b.Head(t.Context(), vdn); err != nil {
		t.Fatal(err)
	}
	kept := prev
	kept.ObservedAt++
	if got, err := b.Commit(t.Context(), seq, &prev, diff.Result{Snapshot: kept}); err != nil || got != seq {
		t.Errorf("got %d, %v for a result without a commit, want %d", got, err, seq)
	}
	if got, _, _ := b.Head(t.Context(), vdn); got.ObservedAt != kept.ObservedAt {
		t.Error("times that moved without a commit were not kept")
	}
	b.Keep(vdn, seq-1, prev)
	if got, _, _ := b.Head(t.Context(), vdn); got.ObservedAt != kept.ObservedAt {
		t.Error("times of an older head were kept")
	}
	if got := audited(t, b); got != 0 {
		t.Errorf("got %d events stored, want none", got)
	}
}

// TestRaces lets two buses commit to one VDN at the same time.
func TestRaces(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Options{})
	o := Options{Storage: jetstream.MemoryStorage}
	buses := []*Bus{openBus(t, dial(t, s), o), openBus(t, dial(t, s), o)}
	const rounds = 250
	for range rounds {
		var wg sync.WaitGroup
		errs := make([]error, len(buses))
		prevs := make([]diff.Snapshot, len(buses))
		seqs := make([]uint64, len(buses))
		for i, b := range buses {
			var err error
			if prevs[i], seqs[i], err = b.Head(t.Context(), vdn); err != nil {
				t.Fatal(err)
			}
		}
		for i, b := range buses {
			wg.Go(func() {
				_, errs[i] = b.Commit(t.Context(), seqs[i], &prevs[i], made(vdn, &prevs[i], 2, 3))
			})
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, ErrConflict) {
				t.Fatal(err)
			}
		}
		if won > 1 || won == 0 && seqs[0] == seqs[1] {
			t.Fatalf("got %d winners: %v", won, errs)
		}
	}
	last, _, err := buses[0].Head(t.Context(), vdn)
	if err != nil {
		t.Fatal(err)
	}
	if got := audited(t, buses[0]); got != 2*int(last.Revision) {
		t.Errorf("got %d events of %d revisions, want two of each", got, last.Revision)
	}
}

// TestFaults has a fault at every step of a commit, in pairs where there are
// two sides: what failed was not stored, or was stored after all.
func TestFaults(t *testing.T) {
	t.Parallel()
	const always = 1000
	lostAnswer := errors.New("answer lost")
	answer := func(code int) func(f *faults, m *nats.Msg) (*nats.Msg, error) {
		return func(f *faults, m *nats.Msg) (*nats.Msg, error) {
			return &nats.Msg{Data: fmt.Appendf(nil, `{"error":{"code":400,"err_code":%d,"description":"made up"}}`, code)}, nil
		}
	}
	tests := map[string]struct {
		// commit replaces the first requests that commit, as many as times says.
		commit func(f *faults, m *nats.Msg) (*nats.Msg, error)
		times  int
		// head replaces the first readings of the head.
		head  func(m *nats.Msg) (*nats.Msg, error)
		heads int
		// meanwhile lets another bus commit first.
		meanwhile bool
		want      error
		revision  int64
	}{
		"not stored, reported so": {
			commit: answer(10176), times: 1, revision: 2,
		},
		"too many batches": {commit: answer(10210), times: 3, revision: 2},
		"undecided":        {commit: answer(10164), times: 3, revision: 2},
		"undecided, as somebody else committed": {
			commit: answer(10164), times: 3, meanwhile: true, want: ErrConflict, revision: 2,
		},
		"always undecided": {commit: answer(10164), times: always, want: &refusal{Code: 400, ErrCode: 10164, Description: "made up"}, revision: 1},
		"spurious wrong last sequence": {
			commit: answer(10071), times: 1, revision: 2,
		},
		"somebody else committed": {meanwhile: true, want: ErrConflict, revision: 2},
		"not stored, answer lost": {
			commit: func(*faults, *nats.Msg) (*nats.Msg, error) { return nil, lostAnswer }, times: 1, revision: 2,
		},
		"stored, answer lost": {
			commit: func(f *faults, m *nats.Msg) (*nats.Msg, error) {
				_, err := f.next(context.Background(), m)
				return nil, errors.Join(lostAnswer, err)
			}, times: 1, revision: 2,
		},
		"stored, wrong last sequence reported": {
			commit: func(f *faults, m *nats.Msg) (*nats.Msg, error) {
				if _, err := f.next(context.Background(), m); err != nil {
					return nil, err
				}
				return answer(10071)(f, m)
			}, times: 1, revision: 2,
		},
		"stored, undecided reported": {
			commit: func(f *faults, m *nats.Msg) (*nats.Msg, error) {
				if _, err := f.next(context.Background(), m); err != nil {
					return nil, err
				}
				return answer(10164)(f, m)
			}, times: 1, revision: 2,
		},
		"stored, answer lost, head cannot be read at first": {
			commit: func(f *faults, m *nats.Msg) (*nats.Msg, error) {
				_, err := f.next(context.Background(), m)
				return nil, errors.Join(lostAnswer, err)
			}, times: 1,
			head:  func(*nats.Msg) (*nats.Msg, error) { return nil, lostAnswer },
			heads: 2, revision: 2,
		},
		"stored, answer lost, head cannot be read": {
			commit: func(f *faults, m *nats.Msg) (*nats.Msg, error) {
				_, err := f.next(context.Background(), m)
				return nil, errors.Join(lostAnswer, err)
			}, times: 1,
			head:  func(*nats.Msg) (*nats.Msg, error) { return nil, lostAnswer },
			heads: always, want: ErrUndecided, revision: 2,
		},
		"not stored, answer lost, somebody else committed": {
			commit: func(*faults, *nats.Msg) (*nats.Msg, error) { return nil, lostAnswer }, times: 1,
			meanwhile: true, want: ErrConflict, revision: 2,
		},
		"garbled answer": {
			commit: func(f *faults, m *nats.Msg) (*nats.Msg, error) {
				_, err := f.next(context.Background(), m)
				return &nats.Msg{Data: []byte("what?")}, err
			}, times: 1, revision: 2,
		},
		"disk full": {
			commit: func(*faults, *nats.Msg) (*nats.Msg, error) {
				return &nats.Msg{Data: []byte(`{"error":{"code":500,"err_code":10047,"description":"made up"}}`)}, nil
			}, times: always, want: &refusal{Code: 500, ErrCode: 10047, Description: "made up"}, revision: 1,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := memoryBus(t)
			prev, seq := commit(t, b, vdn, 1, 3)
			if tt.heads == always { // only this goes on until it is given up
				b.answerWithin = 300 * time.Millisecond
			}
			commits, heads := 0, 0
			f := &faults{next: b.wire.request}
			b.wire.request = func(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
				if strings.HasPrefix(m.Subject, "$JS.API.STREAM.MSG.GET.") {
					if heads++; heads <= tt.heads {
						return tt.head(m)
					}
				}
				if strings.HasPrefix(m.Subject, ingest) {
					if commits++; commits <= tt.times {
						return tt.commit(f, m)
					}
				}
				return f.next(ctx, m)
			}
			if tt.meanwhile {
				other := openBus(t, b.nc, Options{Storage: jetstream.MemoryStorage})
				commit(t, other, vdn, 2, 3)
			}
			got, err := b.Commit(t.Context(), seq, &prev, made(vdn, &prev, 2, 3))
			var refused *refusal
			switch want, ok := tt.want.(*refusal); {
			case ok && (!errors.As(err, &refused) || *refused != *want || errors.Is(err, ErrUndecided)):
				t.Errorf("got %v, want %v", err, tt.want)
			case !ok && !errors.Is(err, tt.want):
				t.Errorf("got %v, want %v", err, tt.want)
			}
			b.wire.request, b.answerWithin = f.next, answerTime
			head, headSeq, headErr := b.Head(t.Context(), vdn)
			if headErr != nil || head.Revision != tt.revision || err == nil && headSeq != got {
				t.Errorf("got head %d, %d, %v, want revision %d, message %d", head.Revision, headSeq, headErr, tt.revision, got)
			}
			if got, want := audited(t, b), 1+2*(int(tt.revision)-1); got != want {
				t.Errorf("got %d events stored, want %d", got, want)
			}
			// Afterwards everything is as usual.
			commit(t, b, vdn, 1, 3)
			audited(t, b)
		})
	}
}

// TestLateBatch lets the answer be lost and the batch arrive only after it was
// sent again.
func TestLateBatch(t *testing.T) {
	b := memoryBus(t)
	prev, seq := commit(t, b, vdn, 0, 1)
	r := made(vdn, &prev, 0, 1) // one message, so that it can be held back whole
	next := b.wire.request
	var held *nats.Msg
	sent := 0
	b.wire.request = func(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
		if !strings.HasPrefix(m.Subject, ingest) {
			return next(ctx, m)
		}
		sent++
		if sent == 1 {
			held = &nats.Msg{Subject: m.Subject, Header: nats.Header{}, Data: slices.Clone(m.Data)}
			for k, v := range m.Header {
				held.Header[k] = slices.Clone(v)
			}
			return nil, context.DeadlineExceeded
		}
		if _, err := next(ctx, held); err != nil {
			return nil, err
		}
		return next(ctx, m)
	}
	got, err := b.Commit(t.Context(), seq, &prev, r)
	b.wire.request = next
	if err != nil {
		t.Fatal(err)
	}
	if head, headSeq, err := b.Head(t.Context(), vdn); err != nil || headSeq != got || head.Revision != 2 {
		t.Errorf("got head %d, %d, %v, want revision 2, message %d", head.Revision, headSeq, err, got)
	}
}

func TestCommitContext(t *testing.T) {
	b := memoryBus(t)
	prev, seq := commit(t, b, vdn, 0, 1)
	ctx, cancel := context.WithCancel(t.Context())
	next := b.wire.request
	entered := make(chan struct{})
	release := make(chan struct{})
	b.wire.request = func(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
		if strings.HasPrefix(m.Subject, ingest) {
			close(entered)
			<-release
		}
		return next(ctx, m)
	}
	done := make(chan error)
	go func() {
		_, err := b.Commit(ctx, seq, &prev, made(vdn, &prev, 1, 1))
		done <- err
	}()
	<-entered
	// A second commit waits behind the first, and leaves before it is sent.
	waiting := diff.VDN{CC: 2, ID: 2}
	short, cancelShort := context.WithCancel(t.Context())
	go func() {
		_, err := b.Commit(short, 0, nil, made(waiting, &diff.Snapshot{}, 0, 1))
		done <- err
	}()
	cancelShort()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context was cancelled", err)
	}
	cancel()
	if err := <-done; !errors.Is(err, ErrUndecided) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want undecided and cancelled", err)
	}
	close(release)
	b.group.runs.Wait()
	b.wire.request = next
	if head, _, err := b.Head(t.Context(), vdn); err != nil || head.Revision != 2 {
		t.Errorf("got revision %d, %v, want that the commit under way was stored", head.Revision, err)
	}
	if _, seq, err := b.Head(t.Context(), waiting); err != nil || seq != 0 {
		t.Errorf("got %d, %v, want that the commit whose caller had left was not sent", seq, err)
	}
	b.Close()
	if _, err := b.Commit(t.Context(), seq, &prev, made(vdn, &prev, 0, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want %v", err, ErrClosed)
	}
}

// TestSteps commits more events than a batch holds.
func TestSteps(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	const agents = 2*stepEvents + 100
	prev, seq := commit(t, b, vdn, 1, agents)
	got, err := b.Commit(t.Context(), seq, &prev, made(vdn, &prev, agents, agents))
	if err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{"memory", "stream"} {
		head, headSeq, err := b.Head(t.Context(), vdn)
		if err != nil || headSeq != got || head.Revision != 4 || head.LastSequence != agents+1 || head.Quality != diff.Consistent {
			t.Errorf("%s: got revision %d, last sequence %d, quality %q, message %d, %v, want 4, %d, %q, %d",
				where, head.Revision, head.LastSequence, head.Quality, headSeq, err, agents+1, diff.Consistent, got)
		}
		b.heads.drop(vdn)
	}
	if got := audited(t, b); got != agents+1 {
		t.Errorf("got %d events, want %d", got, agents+1)
	}
}

// TestStepsInterrupted has somebody else commit between two steps.
func TestStepsInterrupted(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	other := openBus(t, b.nc, Options{Storage: jetstream.MemoryStorage})
	const agents = 2*stepEvents + 100
	prev, seq := commit(t, b, vdn, 0, agents)
	next := b.wire.request
	sent := 0
	b.wire.request = func(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
		if strings.HasPrefix(m.Subject, ingest) {
			if sent++; sent == 2 {
				commit(t, other, vdn, 1, agents)
			}
		}
		return next(ctx, m)
	}
	if _, err := b.Commit(t.Context(), seq, &prev, made(vdn, &prev, agents, agents)); !errors.Is(err, ErrConflict) {
		t.Errorf("got %v, want a conflict", err)
	}
	if got, want := audited(t, b), stepEvents+1; got != want {
		t.Errorf("got %d events, want %d", got, want)
	}
}

func TestSplitSnapshot(t *testing.T) {
	s := start(t, embedded.Options{})
	b := openBus(t, dial(t, s), Options{Storage: jetstream.MemoryStorage})
	b.partBytes = 4 << 10
	subjects := func() (list []string) {
		for _, m := range all(t, b) {
			if len(m.Data()) > b.partBytes {
				t.Errorf("%s: got %d bytes, want %d at most", m.Subject(), len(m.Data()), b.partBytes)
			}
			if strings.Contains(m.Subject(), "snapshot") {
				list = append(list, strings.TrimPrefix(m.Subject(), "rest.v1."))
			}
		}
		return list
	}
	check := func(want diff.Snapshot) {
		t.Helper()
		other := openBus(t, dial(t, s), Options{Storage: jetstream.MemoryStorage})
		if err := other.Load(t.Context(), []diff.VDN{vdn}); err != nil {
			t.Fatal(err)
		}
		if h, ok := other.heads.current(vdn, other.wire.session()); !ok || !reflect.DeepEqual(h.snapshot, want) {
			t.Errorf("got %v, %v after Load, want %v", h.snapshot, ok, want)
		}
		b.heads.drop(vdn)
		if got, _, err := b.Head(t.Context(), vdn); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got head %v, %v, want %v", got, err, want)
		}
		if got, _, err := b.Reader().LastSnapshot(t.Context(), vdn); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, %v from a reader, want %v", got, err, want)
		}
		for m, err := range b.Reader().Snapshots(t.Context()) {
			if err != nil || !reflect.DeepEqual(*m.Snapshot, want) {
				t.Errorf("got %v, %v among all snapshots, want %v", m.Snapshot, err, want)
			}
		}
		audited(t, b)
	}
	want, _ := commit(t, b, vdn, 0, 60)
	check(want)
	if got, want := subjects(), []string{"snapshot.1.170.1", "snapshot.1.170.2", "snapshot.1.170.3", "snapshot.1.170.4", "snapshot.1.170"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	want, _ = commit(t, b, vdn, 2, 30)
	check(want)
	if got, want := subjects(), []string{"snapshot.1.170.1", "snapshot.1.170.2", "snapshot.1.170"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// A purge that fails leaves parts behind that nobody takes for current.
	inject(b, &faults{before: func(m *nats.Msg) error {
		if strings.Contains(m.Subject, "PURGE") {
			return nats.ErrTimeout
		}
		return nil
	}})
	want, _ = commit(t, b, vdn, 1, 3)
	check(want)
	if got, want := subjects(), []string{"snapshot.1.170.1", "snapshot.1.170.2", "snapshot.1.170"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	want, _ = commit(t, b, vdn, 1, 60)
	check(want)
}

func TestTooLarge(t *testing.T) {
	b := memoryBus(t)
	b.partBytes = 1 << 10
	if _, err := b.Commit(t.Context(), 0, nil, made(vdn, &diff.Snapshot{}, 0, 4000)); !errors.Is(err, errTooLarge) {
		t.Errorf("got %v, want %v", err, errTooLarge)
	}
}

// TestGroupCommit has many VDNs committed at once, with heartbeats in between.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	b := openBus(t, dial(t, start(t, embedded.Options{SyncAlways: true})), Options{Metrics: r})
	const vdns, rounds = 40, 8
	var wg sync.WaitGroup
	stop := make(chan struct{})
	var noise sync.WaitGroup
	noise.Go(func() { // past the group, straight into the stream
		for {
			select {
			case <-stop:
				return
			default:
			}
			f := diff.Feed{CC: 9, VDN: 9, Status: diff.OK, ObservedAt: begin}
			if _, err := b.js.Publish(context.Background(), ingest+b.prefix.feed(diff.VDN{CC: 9, ID: 9}), EncodeFeed(nil, &f, "noise", 1)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for id := 1; id <= vdns; id++ {
		wg.Go(func() {
			v := diff.VDN{CC: 1, ID: id}
			for range rounds {
				prev, seq, err := b.Head(t.Context(), v)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := b.Commit(t.Context(), seq, &prev, made(v, &prev, 2, 3)); err != nil {
					t.Error(err)
					return
				}
				if err := b.PublishFeed(t.Context(), diff.Feed{CC: 1, VDN: id, Status: diff.OK}, true); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	noise.Wait()
	if got := audited(t, b); got != 2*vdns*rounds {
		t.Errorf("got %d events, want %d", got, 2*vdns*rounds)
	}
	contiguous(t, all(t, b))
	for id := 1; id <= vdns; id++ {
		v := diff.VDN{CC: 1, ID: id}
		cached, cachedSeq, err := b.Head(t.Context(), v)
		if err != nil {
			t.Fatal(err)
		}
		b.heads.drop(v)
		if got, seq, err := b.Head(t.Context(), v); err != nil || seq != cachedSeq || got.Revision != cached.Revision {
			t.Errorf("VDN %s: got message %d, revision %d, %v, cached were %d, %d", v, seq, got.Revision, err, cachedSeq, cached.Revision)
		}
	}
	if got := testutil.ToFloat64(b.metrics.commits.WithLabelValues("committed")); got != vdns*rounds {
		t.Errorf("got %v commits counted, want %d", got, vdns*rounds)
	}
	if got := testutil.ToFloat64(b.metrics.events.WithLabelValues("updated", "certain")); got != 2*vdns*rounds {
		t.Errorf("got %v events counted, want %d", got, 2*vdns*rounds)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "restwatch_commit_batch_size" {
			if h := f.Metric[0].GetHistogram(); h.GetSampleCount() >= 2*vdns*rounds {
				t.Errorf("got %d batches of %d commits and as many heartbeats, want that some are shared", h.GetSampleCount(), vdns*rounds)
			}
		}
	}
}

// contiguous checks that nothing was stored between the messages of a batch
// that are still there.
func contiguous(t testing.TB, msgs []jetstream.Msg) {
	t.Helper()
	first := make(map[string]uint64) // stream sequence of what would be the batch's message 0
	for _, m := range msgs {
		id := m.Headers().Get(headerBatchID)
		if id == "" {
			continue
		}
		meta, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		var n uint64
		if err := json.Unmarshal([]byte(m.Headers().Get(headerBatchSequence)), &n); err != nil {
			t.Fatal(err)
		}
		zero := meta.Sequence.Stream - n
		if was, ok := first[id]; ok && was != zero {
			t.Errorf("batch %s: message %d is at %d, others say that it should be at %d", id, n, meta.Sequence.Stream, was+n)
		}
		first[id] = zero
	}
}

// TestGroupWithLosers shares a batch among commits of which some are too late.
func TestGroupWithLosers(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("lost=%t", lost), func(t *testing.T) {
			b := memoryBus(t)
			other := openBus(t, b.nc, Options{Storage: jetstream.MemoryStorage})
			const n = 12
			type try struct {
				v    diff.VDN
				prev diff.Snapshot
				seq  uint64
			}
			var tries []try
			for id := 1; id <= n; id++ {
				v := diff.VDN{CC: 1, ID: id}
				prev, seq := commit(t, b, v, 1, 2)
				tries = append(tries, try{v, prev, seq})
				if id%4 == 0 {
					commit(t, other, v, 1, 2)
				}
			}
			// The first commit holds the group until all the others wait.
			next := b.wire.request
			entered, release := make(chan struct{}), make(chan struct{})
			free := sync.OnceFunc(func() { close(release) })
			defer free() // or the bus would never be closed
			held, dropped := false, false
			b.wire.request = func(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
				if strings.HasPrefix(m.Subject, ingest) && !held {
					held = true
					close(entered)
					<-release
				} else if lost && strings.HasPrefix(m.Subject, ingest) && !dropped {
					dropped = true
					_, err := next(ctx, m)
					return nil, errors.Join(nats.ErrTimeout, err)
				}
				return next(ctx, m)
			}
			var wg sync.WaitGroup
			wg.Go(func() { commit(t, b, diff.VDN{CC: 2, ID: 1}, 0, 1) })
			<-entered
			for _, try := range tries {
				wg.Go(func() {
					_, err := b.Commit(t.Context(), try.seq, &try.prev, made(try.v, &try.prev, 2, 2))
					if want := try.v.ID%4 == 0; errors.Is(err, ErrConflict) != want || !want && err != nil {
						t.Errorf("VDN %s: got %v, conflict %t", try.v, err, want)
					}
				})
			}
			eventually(t, "all others wait", func() bool {
				b.group.mu.Lock()
				defer b.group.mu.Unlock()
				return len(b.group.waiting) == n
			})
			free()
			wg.Wait()
			if got, want := audited(t, b), n+n/4+2*(n-n/4); got != want {
				t.Errorf("got %d events stored, want %d", got, want)
			}
		})
	}
}

// A commit that waits for its turn to be encoded has sent nothing: giving it up
// leaves no doubt about it.
func TestCommitGivenUpBeforeItsTurn(t *testing.T) {
	b := memoryBus(t)
	for range cap(b.encoding) {
		b.encoding <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Commit(ctx, 0, nil, made(vdn, &diff.Snapshot{}, 0, 1))
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrUndecided) {
		t.Errorf("got %v, want only %v", err, context.Canceled)
	}
	for range cap(b.encoding) {
		<-b.encoding
	}
	if s, _ := commit(t, b, vdn, 0, 1); s.Revision != 1 {
		t.Errorf("got revision %d, want 1", s.Revision)
	}
}
