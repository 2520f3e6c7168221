//go:build unix

package cms

import "syscall"

// silent says whether nothing has come over an idle connection: neither its
// end nor a reply that nobody asked for (balancers send one of status 408
// before they hang up), which would be taken for the next call's.
func silent(c syscall.RawConn) bool {
	if c == nil {
		return true
	}
	nothing := false
	err := c.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		nothing = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true
	})
	return err == nil && nothing
}
