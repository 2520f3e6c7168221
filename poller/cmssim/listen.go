package cmssim

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Listen begins to serve, in a goroutine that Close ends. It is called once.
func (s *Server) Listen() error {
	addr := s.opts.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	var err error
	if !s.opts.Plain {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return fmt.Errorf("listen at %q: %w", addr, err)
		}
		if s.cert, s.caPEM, err = newCertificate(s.opts.ServerName, host); err != nil {
			return err
		}
	}
	if s.listener, err = net.Listen("tcp", addr); err != nil {
		return fmt.Errorf("listen at %q: %w", addr, err)
	}
	s.server = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		// HTTP/1.1 only, as the platform: HTTP/2 has no Host header to sign.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{s.cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		},
	}
	go func() {
		defer close(s.served)
		if s.opts.Plain {
			_ = s.server.Serve(s.listener) // ends with Close only
		} else {
			_ = s.server.ServeTLS(s.listener, "", "")
		}
	}()
	return nil
}

// Close stops serving, cuts off the calls under way and waits for them.
func (s *Server) Close() error {
	var err error
	s.closeOnce.Do(func() {
		s.handlerMu.Lock()
		s.closed = true
		s.handlerMu.Unlock()
		close(s.closing)
		if s.server != nil {
			err = s.server.Close()
			<-s.served
		}
		s.handlers.Wait()
	})
	return err
}

// Addr is where the Server listens, host and port. Like URL and CACert it is
// known once the Server listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL is where the Server listens, without a path.
func (s *Server) URL() *url.URL {
	u := &url.URL{Scheme: "https", Host: s.Addr()}
	if s.opts.Plain {
		u.Scheme = "http"
	}
	return u
}

// CACert is the PEM of the CA that signed the Server's certificate; nil
// without TLS.
func (s *Server) CACert() []byte { return s.caPEM }

// ClientTLS returns settings for a client that trusts this Server only.
func (s *Server) ClientTLS() *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.caPEM)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}
