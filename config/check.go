package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"
)

var (
	streamName    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	subjectPrefix = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
)

// check finds what no single variable's form tells.
func (c *Config) check(f *faults) {
	required := func(name string, set bool) {
		if !set && !f.has(name) {
			f.add(name, "not set: want %s", settingOf(name).Form)
		}
	}
	required("CMS_URL", c.CMSURL.URL != nil)
	required("VDNS", len(c.VDNs) > 0)
	c.CMSSecretKey = secretFrom(f, c.CMSSecretKey, "CMS_SECRET_KEY", c.CMSSecretKeyFile)
	required("CMS_ACCESS_KEY", c.CMSAccessKey != "")
	if c.CMSSecretKeyFile == "" {
		required("CMS_SECRET_KEY", c.CMSSecretKey != "")
	}
	if strings.ContainsFunc(c.CMSAccessKey, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		f.add("CMS_ACCESS_KEY", "has a space, a control or a non-ASCII character: want %s", settingOf("CMS_ACCESS_KEY").Form)
	}
	authorities(f, "CMS_CA_FILE", c.CMSCAFile)
	f.want(oneOf(c.CMSCTI, "auto", "3.6", "3.8"), "CMS_CTI", c.CMSCTI)
	f.want(c.CMSPageSize >= 1 && c.CMSPageSize <= 100, "CMS_PAGE_SIZE", c.CMSPageSize)
	f.want(within(c.CMSTimeout, 100*time.Millisecond, 9*time.Second), "CMS_TIMEOUT", c.CMSTimeout)
	f.want(c.CMSMaxInFlight >= 1 && c.CMSMaxInFlight <= 1024, "CMS_MAX_IN_FLIGHT", c.CMSMaxInFlight)
	f.want(c.CMSRate >= 0 && c.CMSRate < 1e9, "CMS_RATE", c.CMSRate)
	f.want(oneOf(c.CMSBeginTime, "auto", "ms", "s"), "CMS_BEGIN_TIME", c.CMSBeginTime)

	for vdn := range c.VDNSchedules {
		if len(c.VDNs) > 0 && !c.VDNs.has(vdn) {
			f.add("VDN_SCHEDULES", "%s: not among %sVDNS", vdn, Prefix)
		}
	}
	f.want(c.GroupsPerSchedule >= 1 && c.GroupsPerSchedule <= 1024, "GROUPS", c.GroupsPerSchedule)
	f.want(c.DiffGapLimit > 0, "DIFF_GAP_LIMIT", c.DiffGapLimit)
	f.want(c.DiffSlack > 0, "DIFF_SLACK", c.DiffSlack)

	c.checkNATS(f)
	f.want(c.StoreDir != "", "STORE_DIR", c.StoreDir)
	f.want(c.Replicas >= 1 && c.Replicas <= 5, "REPLICAS", c.Replicas)
	if c.Replicas > 1 && c.NATSURL == "" {
		f.add("REPLICAS", "%d: the embedded server has no cluster; want 1, or %sNATS_URL of one", c.Replicas, Prefix)
	}
	f.want(within(c.Retention, time.Hour, 100*365*24*time.Hour), "RETENTION", c.Retention)
	f.want(within(c.Heartbeat, time.Second, time.Hour), "HEARTBEAT", c.Heartbeat)
	if c.Retention <= c.Heartbeat && !f.has("RETENTION") && !f.has("HEARTBEAT") {
		f.add("RETENTION", "%v: want more than the heartbeat, %v", c.Retention, c.Heartbeat)
	}
	f.want(oneOf(c.LogFormat, "text", "json"), "LOG_FORMAT", c.LogFormat)
}

func (c *Config) checkNATS(f *faults) {
	c.NATSPassword = secretFrom(f, c.NATSPassword, "NATS_PASSWORD", c.NATSPasswordFile)
	for _, u := range strings.Split(c.NATSURL, ",") {
		if err := checkNATSURL(strings.TrimSpace(u)); c.NATSURL != "" && err != nil {
			f.add("NATS_URL", "%v: want %s", err, settingOf("NATS_URL").Form)
		}
	}
	ways := 0
	for _, set := range []bool{c.NATSCredsFile != "", c.NATSNKeyFile != "", c.NATSUser != ""} {
		if set {
			ways++
		}
	}
	if ways > 1 {
		f.add("NATS_CREDS_FILE", "want only one of %[1]sNATS_CREDS_FILE, %[1]sNATS_NKEY_FILE and %[1]sNATS_USER", Prefix)
	}
	if c.NATSPassword != "" && c.NATSUser == "" {
		f.add("NATS_USER", "not set, but a password is: want both")
	}
	if (c.NATSCertFile == "") != (c.NATSKeyFile == "") {
		f.add("NATS_CERT_FILE", "want it together with %sNATS_KEY_FILE", Prefix)
	}
	readable(f, "NATS_CREDS_FILE", c.NATSCredsFile)
	readable(f, "NATS_NKEY_FILE", c.NATSNKeyFile)
	authorities(f, "NATS_CA_FILE", c.NATSCAFile)
	cert, key := readable(f, "NATS_CERT_FILE", c.NATSCertFile), readable(f, "NATS_KEY_FILE", c.NATSKeyFile)
	if cert != nil && key != nil {
		if _, err := tls.X509KeyPair(cert, key); err != nil {
			f.add("NATS_CERT_FILE", "cannot be used with %sNATS_KEY_FILE: %v", Prefix, err)
		}
	}
	f.want(streamName.MatchString(c.Stream), "STREAM", c.Stream)
	f.want(subjectPrefix.MatchString(c.SubjectPrefix), "SUBJECT_PREFIX", c.SubjectPrefix)
}

// readable adds a fault for a file that is set and cannot be read. It returns what
// is in it, nil if there is a fault or none is set.
func readable(f *faults, name, path string) []byte {
	if path == "" {
		return nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		f.add(name, "%v", err)
		return nil
	}
	return content
}

// authorities adds a fault for a file that is set and holds no certificate.
func authorities(f *faults, name, path string) {
	content := readable(f, name, path)
	if content != nil && !x509.NewCertPool().AppendCertsFromPEM(content) {
		f.add(name, "%q holds no certificate in PEM form", path)
	}
}

func oneOf(s string, forms ...string) bool {
	for _, form := range forms {
		if s == form {
			return true
		}
	}
	return false
}

func within(d, low, high time.Duration) bool { return d >= low && d <= high }

// checkNATSURL never quotes the URL: it may hold a password.
func checkNATSURL(s string) error {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "nats", s
	}
	if !oneOf(scheme, "nats", "tls", "ws", "wss") {
		return fmt.Errorf("a URL of another scheme")
	}
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		return fmt.Errorf("a URL that holds a user or password, which belong into NATS_USER and NATS_PASSWORD")
	}
	u, err := url.Parse(scheme + "://" + rest)
	if err != nil {
		return fmt.Errorf("not a URL")
	}
	if u.Hostname() == "" {
		return fmt.Errorf("a URL without a host")
	}
	if !portExists(u) {
		return fmt.Errorf("a URL whose port is none of 1..65535")
	}
	return nil
}
