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
	store := func(js jetstream.JetStream) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := js.Publish(ctx, "s", make([]byte, 1<<10))
		return err
	}
	if err := store(js); err != nil {
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
	for range 32 {
		if err = store(js); err != nil {
			break
		}
	}
	if e := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &room); e != nil {
		t.Fatal(e)
	}
	if err == nil {
		t.Fatal("the store grew beyond its limit")
	}
	if err := store(js); err == nil {
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
	if err := store(js); err != nil {
		t.Error(err)
	}
	if err := s.Broken(); err != nil {
		t.Error(err)
	}
}
