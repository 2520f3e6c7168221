package embedded

// Password lets a test try what a thief of it could do.
func Password(s *Server) string { return s.password }
