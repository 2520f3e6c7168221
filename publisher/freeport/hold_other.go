//go:build !linux

package freeport

import (
	"net"
	"testing"
)

// Hold returns a TCP port of 127.0.0.1 at which nobody listened a moment ago:
// this system has no way to keep it from others that leaves it to the server.
func Hold(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a port: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
