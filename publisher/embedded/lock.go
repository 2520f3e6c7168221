package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// lockName is the file whose lock means that the folder is in use. It stays
// behind: only the lock counts, and the system drops that when its owner ends,
// however it ends.
const lockName = "restwatch.lock"

// errHeld is what lockFile returns when somebody else has the lock.
var errHeld = errors.New("held by another process")

type lock struct{ file *os.File }

// acquire takes dir, making it if need be.
func acquire(dir string) (*lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make store folder: %w", err)
	}
	path := filepath.Join(dir, lockName)
	f, err := openLock(path)
	if err == nil {
		if err = lockFile(f); err != nil {
			f.Close()
		}
	}
	if errors.Is(err, errHeld) {
		return nil, fmt.Errorf("store folder %q is in use by %s", dir, holder(path))
	}
	if err != nil {
		return nil, fmt.Errorf("lock store folder %q: %w", dir, err)
	}
	// The pid only serves the message above, so failing to write it is no
	// reason not to start.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &lock{f}, nil
}

// holder names the process that wrote its pid into the lock file.
func holder(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "another process"
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 32))
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	switch {
	case err != nil:
		return "another process"
	case pid == os.Getpid():
		return fmt.Sprintf("this process (pid %d)", pid)
	}
	return fmt.Sprintf("another process (pid %d)", pid)
}

func (l *lock) release() {
	if l != nil {
		l.file.Close() // closing drops the lock
	}
}
