package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the files that tests compare with")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "sesame-open"

// good is the least that must be set.
func good(more ...string) []string {
	return append([]string{
		"RESTWATCH_CMS_URL=https://cms.example.com:28443",
		"RESTWATCH_CMS_ACCESS_KEY=key/with+chars",
		"RESTWATCH_CMS_SECRET_KEY=" + secret,
		"RESTWATCH_VDNS=1:170,1:200-204,2:7",
		"HOME=/nowhere",
	}, more...)
}

func TestDefaults(t *testing.T) {
	c, err := Load(good())
	if err != nil {
		t.Fatal(err)
	}
	if len(c.VDNs) != 7 || c.VDNs[1] != (VDN{1, 200}) || c.VDNs[6] != (VDN{2, 7}) {
		t.Errorf("VDNs: got %v", c.VDNs)
	}
	if c.Schedule.Every != 5*time.Second || c.CMSTimeout != 5*time.Second || c.CMSMaxInFlight != 32 || c.Retention != 90*24*time.Hour {
		t.Errorf("got %+v", c)
	}
	if c.HTTPAddr != "127.0.0.1:8080" || c.NATSListen != "127.0.0.1:4222" || c.Stream != "REST" || c.SubjectPrefix != "rest.v1" {
		t.Errorf("got %+v", c)
	}
}

func TestEveryBadValueIsNamed(t *testing.T) {
	folder := t.TempDir()
	missing, noPEM := filepath.Join(folder, "missing"), filepath.Join(folder, "text")
	if err := os.WriteFile(noPEM, []byte("no certificate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, value, want string }{
		{"CMS_URL", "cms.example.com", "want https://host:port"},
		{"CMS_URL", "ftp://cms.example.com", "want https://host:port"},
		{"CMS_URL", "https://" + secret + "@cms.example.com", "without a user"},
		{"CMS_URL", "https://cms.example.com:0", "port"},
		{"CMS_URL", "https://:28443", "want https://host:port"},
		{"CMS_URL", "https://座席.example.com", "xn--"},
		{"CMS_URL", "https://[fe80::1%25eth0]:28443", "without a zone"},
		{"CMS_URL", "https://cms.example.com?a=b", "without a query"},
		{"CMS_ACCESS_KEY", "", "not set"},
		{"CMS_ACCESS_KEY", "a b", "want text"},
		{"CMS_SECRET_KEY", "", "not set"},
		{"CMS_SECRET_KEY_FILE", missing, "set together"},
		{"CMS_CA_FILE", missing, "no such file"},
		{"CMS_CA_FILE", folder, "is a directory"},
		{"CMS_CA_FILE", noPEM, "no certificate in PEM form"},
		{"CMS_INSECURE_SKIP_VERIFY", "maybe", "want true or false"},
		{"CMS_CTI", "3.7", "want auto, 3.6 or 3.8"},
		{"CMS_PAGE_SIZE", "0", "want 1..100"},
		{"CMS_PAGE_SIZE", "101", "want 1..100"},
		{"CMS_PAGE_SIZE", "many", "want 1..100"},
		{"CMS_TIMEOUT", "5", "want 100ms..9s"},
		{"CMS_TIMEOUT", "10s", "want 100ms..9s"},
		{"CMS_MAX_IN_FLIGHT", "0", "want 1..1024"},
		{"CMS_RATE", "-1", "want 0 or more"},
		{"CMS_RATE", "NaN", "want 0 or more"},
		{"CMS_BEGIN_TIME", "us", "want auto, ms or s"},
		{"VDNS", "", "not set"},
		{"VDNS", "170", "want ccId:vdn"},
		{"VDNS", "1:", "want ccId:vdn"},
		{"VDNS", "1:0", "want a vdn of 1..5000"},
		{"VDNS", "1:1-5001", "want a vdn of 1..5000"},
		{"VDNS", "65536:1", "want a ccId of 1..65535"},
		{"VDNS", "1:9-3", "smaller number first"},
		{"VDNS", "+1:5", "want ccId:vdn"},
		{"VDNS", "1:5-+7", "want ccId:vdn"},
		{"VDNS", "1:1-9,1:5", "1:5: listed twice"},
		{"SCHEDULE", "often", "want @every 5s or a cron expression"},
		{"SCHEDULE", "@every 50ms", "100ms..24h"},
		{"SCHEDULE", "@every", "want @every"},
		{"SCHEDULE", "0 0 31 2 *", "no time matches"},
		{"SCHEDULE", "CRON_TZ=Nowhere/City * * * * *", "Nowhere/City"},
		{"SCHEDULE", "TZ=", "want @every 5s or a cron expression"},
		{"SCHEDULE", "CRON_TZ=UTC", "want @every 5s or a cron expression"},
		{"SCHEDULE", "CRON_TZ= * * * * *", "the time zone has no name"},
		{"SCHEDULE", "CRON_TZ=UTC @every 200ms", "an interval has no time zone"},
		{"SCHEDULE", ", * * * * *", "a field names no time"},
		{"VDN_SCHEDULES", "1:170", "want ccId:vdn=schedule"},
		{"VDN_SCHEDULES", "1:9=@every 1s", "1:9: not among"},
		{"VDN_SCHEDULES", "1:170=never", "cron expression"},
		{"VDN_SCHEDULES", "1:170=@every 1s;1:170=@every 2s", "two schedules"},
		{"GROUPS", "0", "want 1..1024"},
		{"DIFF_GAP_LIMIT", "0s", "want duration above 0"},
		{"DIFF_SLACK", "-1s", "want duration above 0"},
		{"NATS_URL", "http://host", "want nats://host:port"},
		{"NATS_URL", "nats://", "without a host"},
		{"NATS_URL", "nats://one:4222,nats://two:99999", "port is none of 1..65535"},
		{"NATS_URL", "one two", "not a URL"},
		{"NATS_CA_FILE", noPEM, "no certificate in PEM form"},
		{"NATS_URL", "nats://user:" + secret + "@host", "holds a user or password"},
		{"NATS_CREDS_FILE", missing, "no such file"},
		{"NATS_PASSWORD", secret, "want both"},
		{"NATS_CERT_FILE", missing, "want it together"},
		{"NATS_LISTEN", "4222", "want host:port"},
		{"STREAM", "A.B", "want letters"},
		{"SUBJECT_PREFIX", "rest.>", "want subject without wildcards"},
		{"REPLICAS", "6", "want 1..5"},
		{"REPLICAS", "3", "embedded server has no cluster"},
		{"RETENTION", "1m", "want 1h or more"},
		{"HEARTBEAT", "0s", "want 1s..1h"},
		{"HTTP_ADDR", "8080", "want host:port or none"},
		{"LOG_LEVEL", "loud", "want debug, info, warn or error"},
		{"LOG_FORMAT", "xml", "want text or json"},
		{"CMS_PASSWORD", secret, "no such setting; did you mean RESTWATCH_NATS_PASSWORD?"},
		{"SCHEDUL", "@every 5s", "no such setting; did you mean RESTWATCH_SCHEDULE?"},
	} {
		_, err := Load(good("RESTWATCH_" + c.name + "=" + c.value))
		if err == nil {
			t.Errorf("%s=%q: accepted", c.name, c.value)
			continue
		}
		if !strings.Contains(err.Error(), "RESTWATCH_"+c.name) && c.name != "NATS_PASSWORD" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%q: got %q, want it to name the variable and say %q", c.name, c.value, err, c.want)
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error tells the secret: %q", c.name, err)
		}
	}
}

func TestAClientCertificateThatCannotBeUsed(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no certificate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(good("RESTWATCH_NATS_CERT_FILE="+text, "RESTWATCH_NATS_KEY_FILE="+text))
	if err == nil || !strings.HasPrefix(err.Error(), "RESTWATCH_NATS_CERT_FILE: cannot be used with RESTWATCH_NATS_KEY_FILE") {
		t.Errorf("got %v", err)
	}
}

func TestAllFaultsAtOnceALineEach(t *testing.T) {
	_, err := Load([]string{"RESTWATCH_VDNS=x", "RESTWATCH_CMS_PAGE_SIZE=0", "RESTWATCH_LOG_LEVEL=loud", "RESTWATCH_NONSENSE=1"})
	lines := strings.Split(err.Error(), "\n")
	for _, name := range []string{"CMS_URL", "CMS_ACCESS_KEY", "CMS_SECRET_KEY", "CMS_PAGE_SIZE", "VDNS", "LOG_LEVEL", "NONSENSE"} {
		n := 0
		for _, l := range lines {
			if strings.HasPrefix(l, "RESTWATCH_"+name+":") {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s: %d lines, want 1, in:\n%v", name, n, err)
		}
	}
	if len(lines) != 7 {
		t.Errorf("got %d lines, want 7:\n%v", len(lines), err)
	}
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte(secret+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(good("RESTWATCH_CMS_SECRET_KEY=", "RESTWATCH_CMS_SECRET_KEY_FILE="+file))
	if err != nil || string(c.CMSSecretKey) != secret {
		t.Errorf("from a file: got %q, %v", string(c.CMSSecretKey), err)
	}
	if err := os.WriteFile(file, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Load(good("RESTWATCH_CMS_SECRET_KEY=", "RESTWATCH_CMS_SECRET_KEY_FILE="+file))
	if err == nil || !strings.Contains(err.Error(), "RESTWATCH_CMS_SECRET_KEY_FILE") || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("from an empty file: got %v", err)
	}
}

func TestSecretFileOfSeveralLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(secret+"\n"+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(good("RESTWATCH_CMS_SECRET_KEY=", "RESTWATCH_CMS_SECRET_KEY_FILE="+file))
	if err == nil || !strings.Contains(err.Error(), "RESTWATCH_CMS_SECRET_KEY_FILE") || !strings.Contains(err.Error(), "several lines") || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v", err)
	}
}

func TestRetentionExceedsHeartbeat(t *testing.T) {
	_, err := Load(good("RESTWATCH_RETENTION=1h", "RESTWATCH_HEARTBEAT=1h"))
	if err == nil || !strings.Contains(err.Error(), "RESTWATCH_RETENTION") {
		t.Errorf("got %v", err)
	}
}

// Kubernetes adds these to a pod beside a service of such a name; they must not
// keep the program from starting.
func TestVariablesOfOthers(t *testing.T) {
	if _, err := Load(good(
		"RESTWATCH_SERVICE_HOST=10.0.0.1", "RESTWATCH_SERVICE_PORT=8080", "RESTWATCH_SERVICE_PORT_HTTP=8080",
		"RESTWATCH_PORT=tcp://10.0.0.1:8080", "RESTWATCH_PORT_8080_TCP=tcp://10.0.0.1:8080",
		"RESTWATCH_PORT_8080_TCP_PROTO=tcp", "RESTWATCH_PORT_8080_TCP_PORT=8080", "RESTWATCH_PORT_8080_TCP_ADDR=10.0.0.1",
		"RESTWATCH_NATS_SERVICE_HOST=10.0.0.2", "RESTWATCH_NATS_PORT=tcp://10.0.0.2:4222", "RESTWATCH_NATS_PORT_4222_TCP_ADDR=10.0.0.2",
		"RESTWATCH_SIM_ACCESS_KEY=x",
	)); err != nil {
		t.Error(err)
	}
	// A slip all the same.
	for _, name := range []string{"PORT=8080", "NATS_PORT=4222", "SIMS=1"} {
		if _, err := Load(good("RESTWATCH_" + name)); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func TestEmptyIsUnset(t *testing.T) {
	c, err := Load(good("RESTWATCH_SCHEDULE=", "RESTWATCH_CMS_TIMEOUT=", "RESTWATCH_NATS_URL=", "RESTWATCH_VDN_SCHEDULES="))
	if err != nil || c.Schedule.Every != 5*time.Second || c.CMSTimeout != 5*time.Second {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestNoSecretIsEverPrinted(t *testing.T) {
	c, err := Load(good("RESTWATCH_NATS_URL=nats://127.0.0.1", "RESTWATCH_NATS_USER=service", "RESTWATCH_NATS_PASSWORD="+secret))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("settings", "config", c)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("settings", "config", c)
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v", c, c), fmt.Sprintf("%q %x %d %#v", c.CMSSecretKey, c.CMSSecretKey, c.CMSSecretKey, c.CMSSecretKey), string(asJSON), log.String()} {
		if strings.Contains(s, secret) || strings.Contains(s, fmt.Sprintf("%x", secret)) {
			t.Errorf("tells the secret: %s", s)
		}
	}
	if !strings.Contains(log.String(), "nats_user=service") || strings.Contains(log.String(), "log_format") {
		t.Errorf("the log should list what is set: %s", log.String())
	}
}

func TestBusNeedsNoUpstream(t *testing.T) {
	c, err := Bus([]string{"RESTWATCH_NATS_URL=nats://127.0.0.1:4333", "RESTWATCH_VDNS=nonsense"})
	if err != nil || c.NATSURL != "nats://127.0.0.1:4333" || c.Stream != "REST" {
		t.Errorf("got %+v, %v", c, err)
	}
}

func FuzzVDNs(f *testing.F) {
	for _, s := range []string{"1:170,1:200-204,2:7", "1:1-5000", "65535:5000", "1:9-3", ":", "1:-1", ",", "1:1-9999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var list VDNs
		if list.UnmarshalText([]byte(s)) != nil {
			return
		}
		for i, v := range list {
			if v.CC < 1 || v.CC > 65535 || v.ID < 1 || v.ID > 5000 {
				t.Errorf("%q: %v is out of range", s, v)
			}
			if i > 0 && !(list[i-1].CC < v.CC || list[i-1].CC == v.CC && list[i-1].ID < v.ID) {
				t.Errorf("%q: %v after %v", s, v, list[i-1])
			}
		}
	})
}

func FuzzSchedule(f *testing.F) {
	for _, s := range []string{"@every 5s", "@every 100ms", "*/10 * 8-20 * * *", "CRON_TZ=Asia/Shanghai 0 9 * * 1-5", "@hourly", "TZ=", ", * * * *", "0 0 31 2 *", "*/0 * * * *"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		var s Schedule
		if s.UnmarshalText([]byte(spec)) != nil {
			return
		}
		if (s.Every != 0) == (s.Cron != nil) {
			t.Errorf("%q: got interval %v and expression %v, want one of them", spec, s.Every, s.Cron)
		}
		if s.Cron == nil && s.Every < shortest {
			t.Errorf("%q: interval %v is too short", spec, s.Every)
		}
		var again Schedule
		if err := again.UnmarshalText([]byte(s.Spec)); err != nil || again.Every != s.Every {
			t.Errorf("%q: its own text %q gives %v, %v", spec, s.Spec, again.Every, err)
		}
	})
}

// The page of settings is made from the struct, so that it cannot say anything
// else than the program does.
func TestSettingsPage(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Settings\n\nAll settings are environment variables. Faults are reported all at once, by name, and no secret is ever printed.\n" +
		"A variable with the prefix `RESTWATCH_` that is not in this table is an error: a misspelt name must not go unnoticed.\n\n" +
		"| variable | default | accepted | meaning |\n|---|---|---|---|\n")
	for _, s := range Settings() {
		if s.Form == "" || s.Help == "" {
			t.Errorf("%s: no form or help", s.Name)
		}
		byDefault := ""
		if s.Default != "" {
			byDefault = "`" + s.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Name, byDefault, strings.ReplaceAll(s.Form, "|", `\|`), s.Help)
	}
	page := filepath.Join("..", "docs", "settings.md")
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Errorf("%s is not up to date: go test ./config -run TestSettingsPage -update", page)
	}
}
