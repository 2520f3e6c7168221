package publisher

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"restwatch/publisher/embedded"
)

func TestEnsureStream(t *testing.T) {
	day := 24 * time.Hour
	want := StreamConfig(Options{Storage: jetstream.MemoryStorage, Retention: 90 * day})
	tests := map[string]struct {
		have func(*jetstream.StreamConfig) // nil: there is none yet
		// refused names the settings in the error; none: it fits.
		refused []string
		logged  []string
		then    func(have jetstream.StreamConfig) bool
	}{
		"none":         {logged: []string{`msg="stream created"`}},
		"the same":     {have: func(c *jetstream.StreamConfig) {}},
		"operator's":   {have: func(c *jetstream.StreamConfig) { c.Description = "ours"; c.Metadata = map[string]string{"a": "b"} }, then: func(c jetstream.StreamConfig) bool { return c.Description == "ours" && c.Metadata["a"] == "b" }},
		"max age less": {have: func(c *jetstream.StreamConfig) { c.MaxAge = time.Minute; c.Duplicates = time.Minute }, logged: []string{"level=INFO", "setting=max_age", "have=1m0s", "want=2160h0m0s"}, then: func(c jetstream.StreamConfig) bool { return c.MaxAge == 90*day && c.Duplicates == 2*time.Minute }},
		"max age more": {have: func(c *jetstream.StreamConfig) { c.MaxAge = 365 * day }, logged: []string{"level=WARN", "setting=max_age"}, then: func(c jetstream.StreamConfig) bool { return c.MaxAge == 90*day }},
		"no max age":   {have: func(c *jetstream.StreamConfig) { c.MaxAge = 0 }, logged: []string{"level=WARN", "have=unlimited"}, then: func(c jetstream.StreamConfig) bool { return c.MaxAge == 90*day }},
		"switches off": {
			have: func(c *jetstream.StreamConfig) {
				c.AllowDirect, c.AllowRollup, c.AllowMsgTTL, c.AllowAtomicPublish = false, false, false, false
			},
			logged: []string{"allow_direct", "allow_rollup_hdrs", "allow_msg_ttl", "allow_atomic"},
			then: func(c jetstream.StreamConfig) bool {
				return c.AllowDirect && c.AllowRollup && c.AllowMsgTTL && c.AllowAtomicPublish
			},
		},
		"other subjects": {have: func(c *jetstream.StreamConfig) { c.Subjects = []string{"ingest.rest.v1.>", "more"} }, refused: []string{"subjects"}},
		"no transform":   {have: func(c *jetstream.StreamConfig) { c.SubjectTransform = nil }, refused: []string{`subject_transform is none, want "ingest.rest.v1.>" to "rest.v1.>"`}},
		"no republish":   {have: func(c *jetstream.StreamConfig) { c.RePublish = nil }, refused: []string{"republish is none"}},
		"headers only":   {have: func(c *jetstream.StreamConfig) { c.RePublish.HeadersOnly = true }, refused: []string{"headers only: true"}},
		"other storage":  {have: func(c *jetstream.StreamConfig) { c.Storage = jetstream.FileStorage }, refused: []string{"storage is File, want Memory"}},
		"work queue":     {have: func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, refused: []string{"retention"}},
		"limits": {have: func(c *jetstream.StreamConfig) {
			c.MaxBytes = 1 << 20
			c.MaxMsgs = 9
			c.MaxMsgsPerSubject = 1
			c.MaxMsgSize = 100
		}, refused: []string{"max_bytes is 1048576, want unlimited", "max_msgs is 9", "max_msgs_per_subject is 1", "max_msg_size is 100"}},
		"discard new":     {have: func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardNew }, refused: []string{"discard"}},
		"no ack":          {have: func(c *jetstream.StreamConfig) { c.NoAck = true }, refused: []string{"no_ack is true"}},
		"purge forbidden": {have: func(c *jetstream.StreamConfig) { c.DenyPurge = true; c.AllowRollup = false }, refused: []string{"deny_purge is true"}},
		"both kinds":      {have: func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour; c.RePublish = nil }, refused: []string{"republish"}, then: func(c jetstream.StreamConfig) bool { return true }},
	}
	s := start(t, embedded.Options{})
	js, err := jetstream.New(dial(t, s))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.have != nil {
				c := StreamConfig(Options{Storage: jetstream.MemoryStorage, Retention: 90 * day})
				tt.have(&c)
				if _, err := js.CreateStream(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
			defer js.DeleteStream(t.Context(), "REST")
			var log bytes.Buffer
			err := EnsureStream(t.Context(), js, want, slog.New(slog.NewTextHandler(&log, nil)))
			st, lookErr := js.Stream(t.Context(), "REST")
			if lookErr != nil {
				t.Fatal(lookErr)
			}
			have := st.CachedInfo().Config
			if tt.refused != nil {
				var refused *StreamError
				if !errors.As(err, &refused) {
					t.Fatalf("got %v, want a *StreamError", err)
				}
				for _, s := range tt.refused {
					if !strings.Contains(err.Error(), s) {
						t.Errorf("got %q, want %q in it", err, s)
					}
				}
				if have.MaxAge != 90*day && name == "both kinds" && have.MaxAge != time.Hour {
					t.Errorf("got max age %s, want that a refused stream is not changed", have.MaxAge)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range tt.logged {
				if !strings.Contains(log.String(), s) {
					t.Errorf("got log\n%swant %q in it", log.String(), s)
				}
			}
			if tt.logged == nil && log.Len() > 0 {
				t.Errorf("got log\n%swant none", log.String())
			}
			if tt.then != nil && !tt.then(have) {
				t.Errorf("got %+v", have)
			}
			if d := CompareStream(have, want); d != nil {
				t.Errorf("got differences %v afterwards", d)
			}
			log.Reset()
			if err := EnsureStream(t.Context(), js, want, slog.New(slog.NewTextHandler(&log, nil))); err != nil || log.Len() > 0 {
				t.Errorf("once more: got %v and log\n%s", err, log.String())
			}
		})
	}
}

func TestReplicasAreNeverTakenAway(t *testing.T) {
	have, want := StreamConfig(Options{Replicas: 3}), StreamConfig(Options{Replicas: 1})
	want.Duplicates, have.Duplicates = 2*time.Minute, 2*time.Minute
	if d := CompareStream(have, want); len(d) != 1 || !d[0].Keep || d[0].Change {
		t.Errorf("got %+v, want that more replicas are kept", d)
	}
	if d := CompareStream(want, have); len(d) != 1 || d[0].Keep || !d[0].Change {
		t.Errorf("got %+v, want that replicas are added", d)
	}
}

func TestEnsureStreamOverlap(t *testing.T) {
	js, err := jetstream.New(dial(t, start(t, embedded.Options{})))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "GREEDY", Subjects: []string{"ingest.>"}}); err != nil {
		t.Fatal(err)
	}
	err = EnsureStream(t.Context(), js, StreamConfig(Options{}), nil)
	if want := `create stream "REST": subject "ingest.rest.v1.>" overlaps those of stream "GREEDY"`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestEnsureStreamErrors(t *testing.T) {
	js, err := jetstream.New(dial(t, start(t, embedded.Options{})))
	if err != nil {
		t.Fatal(err)
	}
	err = EnsureStream(t.Context(), js, StreamConfig(Options{Replicas: 3}), nil)
	if err == nil || !strings.Contains(err.Error(), "replicas") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v for three replicas on one server, want that it says so in one line", err)
	}
}

// TestEnsureStreamRace has replicas start at the same time.
func TestEnsureStreamRace(t *testing.T) {
	s := start(t, embedded.Options{})
	var wg sync.WaitGroup
	for range 6 {
		nc := dial(t, s)
		wg.Go(func() {
			js, err := jetstream.New(nc)
			if err == nil {
				err = EnsureStream(t.Context(), js, StreamConfig(Options{}), nil)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestCheckPrefix(t *testing.T) {
	for _, p := range []string{"rest.v1", "a", "eu.rest.v2", "ingested"} {
		if err := checkPrefix(p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
	for _, p := range []string{"", ".", "a.", ".a", "a..b", "a.*", ">", "a b", "$JS", "_INBOX.x", "ingest.x", "svc"} {
		if err := checkPrefix(p); err == nil {
			t.Errorf("%q: got no error", p)
		}
	}
}
