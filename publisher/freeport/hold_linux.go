package freeport

import (
	"syscall"
	"testing"
)

// Hold returns a TCP port of 127.0.0.1 at which nobody listens. Until the test
// ends it goes only to those who ask for it by number, one at a time.
//
// A socket is bound to it that neither listens nor connects. So calls are
// refused, and the system gives the port to nobody who asks for any; but as it
// may be used again, like those of all of Go's listeners, they can have it.
func Hold(t testing.TB) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("hold a port: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) }) // there is nothing in it to lose
	if err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	if err != nil {
		t.Fatalf("hold a port: %v", err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatalf("hold a port: %v", err)
	}
	return at.(*syscall.SockaddrInet4).Port
}
