package cmssim

import "restwatch/diff"

// Stats are counters since the start.
type Stats struct {
	Calls       int64 // that named the VDN, whatever the answer
	InFlight    int64 // now
	MaxInFlight int64 // calls at once, at most
}

// Stats of a VDN.
func (s *Server) Stats(vdn diff.VDN) Stats {
	t := s.tenant(vdn)
	return Stats{Calls: t.calls.Load(), InFlight: t.inFlight.Load(), MaxInFlight: t.maxInFlight.Load()}
}

// ResetMax forgets the MaxInFlight of all VDNs.
func (s *Server) ResetMax() {
	for _, t := range s.tenants {
		t.maxInFlight.Store(t.inFlight.Load())
	}
}

// Calls is the sum over all VDNs.
func (s *Server) Calls() int64 {
	var n int64
	for _, t := range s.tenants {
		n += t.calls.Load()
	}
	return n
}

// BadSignatures counts the calls answered 401 because of their signature.
func (s *Server) BadSignatures() int64 { return s.badSignatures.Load() }

// Refused counts the calls answered 403 because the caller's IP was locked.
func (s *Server) Refused() int64 { return s.refused.Load() }

// Unlock lets every locked IP in again.
func (s *Server) Unlock() { s.lockout.clear() }
