package freeport_test

import (
	"fmt"
	"net"
	"testing"

	"restwatch/publisher/freeport"
)

// TestHold has servers come and go at a port that is held. What the system gives
// to those who ask for any port is never that one, of so many that it would be
// more often than not, were it free.
func TestHold(t *testing.T) {
	port := freeport.Hold(t)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	for range 3 {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			t.Fatal("somebody listens")
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := net.Listen("tcp", address); err == nil {
			again.Close()
			t.Error("two listen at once")
		}
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		l.Close()
	}
	for range 20_000 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if l.Addr().(*net.TCPAddr).Port == port {
			t.Fatal("the port was given to another")
		}
		l.Close()
	}
}
