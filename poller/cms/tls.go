package cms

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// LoadTLS makes the TLS settings of Options. caFile is a PEM file of the only
// authorities to trust, "" for the system's. serverName is the name to look
// for in the certificate where that is not the host of the URL, as behind a
// load balancer; "" for the host. insecure turns verification off altogether:
// whoever answers gets signed requests, and can have his answers believed.
func LoadTLS(caFile, serverName string, insecure bool) (*tls.Config, error) {
	cfg := &tls.Config{ServerName: serverName, InsecureSkipVerify: insecure, MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read CA file: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read CA file %q: no certificate in PEM form in it", caFile)
	}
	return cfg, nil
}
