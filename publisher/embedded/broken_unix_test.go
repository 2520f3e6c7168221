//go:build unix

package embedded_test

import (
	"context"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"restwatch/publisher/embedded"
)

// TestBroken has the store refuse to grow, as a full disk does, and then gives
// it room: the server stores nothing until it is started anew.
func TestBroken(t *testing.T) {
	o := embedded.Options{Dir: t.TempDir(), SyncAlways: true}
	s := start(t, o)
	js, err := jetstream.New(connect(t, "", s.InProcess()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	store := func(js jetstream.JetStream, within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		_, err := js.Publish(ctx, "s", make([]byte, 1<<10))
		return err
	}
	const sure, inVain = time.Minute, time.Second // a server that cannot store gives no answer
	if err := store(js, sure); err != nil {
		t.Fatal(err)
	}
	if err := s.Broken(); err != nil {
		t.Error(err)
	}

	signal.Ignore(syscall.SIGXFSZ) // or it would end the process
	defer signal.Reset(syscall.SIGXFSZ)
	var room syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &room); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 16 << 10, Max: room.Max}); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 32 && s.Broken() == nil; i++ {
		_ = store(js, inVain) // an answer that is only late does not break it
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &room); err != nil {
		t.Fatal(err)
	}
	if s.Broken() == nil {
		t.Fatal("the store grew beyond its limit")
	}
	if err := store(js, inVain); err == nil {
		t.Error("the server stores again: Broken is not needed any more")
	}
	if err := s.Broken(); err == nil || !strings.Contains(err.Error(), "write error") {
		t.Errorf("got %v, want that nothing can be written", err)
	}

	s.Shutdown()
	s = start(t, o)
	if js, err = jetstream.New(connect(t, "", s.InProcess())); err != nil {
		t.Fatal(err)
	}
	if err := store(js, sure); err != nil {
		t.Error(err)
	}
	if err := s.Broken(); err != nil {
		t.Error(err)
	}
}
