package embedded

import (
	"fmt"
	"io/fs"
	"path/filepath"
)

// leastRoom is what must be free on the disk at the start. With less the first
// commits might go well, and then the store would break.
const leastRoom = 16 << 20

// storeLimit is how many bytes the store in dir may have: what it has, and three
// quarters of what is free. The server's own default leaves out the former,
// as it is asked before the service's account has its streams: a store larger
// than that would take nothing more after a restart.
func storeLimit(dir string, free func(dir string) (int64, error)) (int64, error) {
	room, err := free(dir)
	if err != nil {
		return 0, fmt.Errorf("look at the disk of store folder %q: %w", dir, err)
	}
	if room < leastRoom {
		return 0, fmt.Errorf("no space left on device: store folder %q has %d KiB of room, want %d MiB", dir, room>>10, leastRoom>>20)
	}
	var used int64
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			used += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measure store folder: %w", err)
	}
	return used + room/4*3, nil
}
