package main

import (
	"log/slog"
	"sync"

	"restwatch/config"
)

// secretFile is a secret that may be replaced in its file while we run.
type secretFile struct {
	path string
	log  *slog.Logger

	mu    sync.Mutex
	last  config.Secret // what the file held when it could last be read
	fault string        // why it cannot be read now
}

// now reads the file. As long as it cannot be read, because it is just being
// replaced for instance, what it held before counts.
func (s *secretFile) now() config.Secret {
	read, err := config.ReadSecret(s.path)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil && err.Error() != s.fault:
		s.fault = err.Error()
		s.log.Warn("secret cannot be read, the one before is used", "error", err)
	case err == nil:
		s.fault = ""
		if read != s.last {
			s.log.Info("secret was replaced", "file", s.path)
		}
		s.last = read
	}
	return s.last
}
