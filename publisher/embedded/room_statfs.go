//go:build darwin || freebsd || linux

package embedded

import "syscall"

// free is how many bytes of a folder's disk are free for us.
func free(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(uint64(s.Bavail) * uint64(s.Bsize)), nil
}
