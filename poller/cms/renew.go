package cms

import "crypto/tls"

// SecretKeyFrom has the key asked for in each second in which calls are made,
// instead of Options.SecretKey, so that it can be replaced while the Client is
// in use: a call is signed with a key that is at most a second old. now may be
// called by several goroutines. Call SecretKeyFrom before the first Read.
func (c *Client) SecretKeyFrom(now func() Secret) { c.signer.renewed = now }

// TLSFrom has the settings asked for at each new connection, instead of
// Options.TLS, so that authorities can be replaced while the Client is in use.
// Connections that are open stay. An error fails the call with the category
// network. now may be called by several goroutines. Call TLSFrom before the
// first Read. It does nothing where the upstream is called without TLS.
func (c *Client) TLSFrom(now func() (*tls.Config, error)) {
	first := c.transport.tls
	c.transport.renewed = func() (*tls.Config, error) {
		cfg, err := now()
		if err != nil {
			return nil, err
		}
		if cfg.ServerName == "" {
			cfg.ServerName = first.ServerName
		}
		cfg.ClientSessionCache = first.ClientSessionCache // resumed only where these settings trust it, too
		return cfg, nil
	}
}
