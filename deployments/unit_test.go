package deployments_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"restwatch/config"
)

// The settings of systemd that the unit uses, by section; a misspelt one is only
// a warning in the journal, and no protection.
var directives = map[string]string{
	"Unit": "Description Documentation After Wants StartLimitIntervalSec",
	"Service": `Type ExecStart EnvironmentFile LoadCredential Environment StateDirectory StateDirectoryMode Restart RestartSec
		TimeoutStopSec DynamicUser UMask NoNewPrivileges CapabilityBoundingSet AmbientCapabilities ProtectSystem ProtectHome
		PrivateTmp PrivateDevices ProtectClock ProtectControlGroups ProtectHostname ProtectKernelLogs ProtectKernelModules
		ProtectKernelTunables ProtectProc ProcSubset RestrictAddressFamilies RestrictNamespaces RestrictRealtime
		RestrictSUIDSGID LockPersonality MemoryDenyWriteExecute RemoveIPC SystemCallArchitectures SystemCallFilter LimitNOFILE`,
	"Install": "WantedBy",
}

// Values of settings that take one of a few.
var choices = map[string]string{
	"Type":          "simple exec forking oneshot dbus notify notify-reload idle",
	"Restart":       "no on-success on-failure on-abnormal on-watchdog on-abort always",
	"ProtectSystem": "yes no true false full strict",
	"ProtectHome":   "yes no true false read-only tmpfs",
	"ProtectProc":   "noaccess invisible ptraceable default",
	"ProcSubset":    "all pid",
}

type setting struct{ section, key, value string }

func readUnit(t *testing.T) []setting {
	t.Helper()
	var list []setting
	section := ""
	for line := range strings.Lines(read(t, "restwatch.service")) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[' && line[len(line)-1] == ']':
			section = line[1 : len(line)-1]
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok {
				t.Errorf("line %q: want key=value", line)
			}
			list = append(list, setting{section, key, value})
		}
	}
	return list
}

func TestUnit(t *testing.T) {
	single := map[string]bool{}
	for _, s := range readUnit(t) {
		known, ok := directives[s.section]
		if !ok {
			t.Errorf("section %q is not known", s.section)
		}
		if !slices.Contains(strings.Fields(known), s.key) {
			t.Errorf("[%s] %s is not known", s.section, s.key)
		}
		if c, ok := choices[s.key]; ok && !slices.Contains(strings.Fields(c), s.value) {
			t.Errorf("%s=%s: want one of %s", s.key, s.value, c)
		}
		if repeatable := s.key == "Environment" || s.key == "SystemCallFilter"; single[s.key] && !repeatable {
			t.Errorf("%s is given twice", s.key)
		}
		single[s.key] = true
		switch s.key {
		case "ExecStart":
			args := strings.Fields(s.value)
			if !filepath.IsAbs(args[0]) || filepath.Base(args[0]) != "restwatch" {
				t.Errorf("ExecStart=%s: want the absolute path of restwatch", s.value)
			}
			commandExists(t, args[1:])
		case "TimeoutStopSec":
			if s.value == "0" || s.value == "infinity" {
				t.Errorf("TimeoutStopSec=%s: want an end", s.value)
			}
		}
	}
	for _, key := range []string{"Description", "ExecStart", "WantedBy", "Restart", "NoNewPrivileges", "StateDirectory"} {
		if !single[key] {
			t.Errorf("%s is missing", key)
		}
	}
}

var secret = regexp.MustCompile(`(SECRET_KEY|PASSWORD)=\S`)

// TestUnitSettings loads the settings that the unit gives, with its specifiers
// replaced as systemd does.
func TestUnitSettings(t *testing.T) {
	credentials := t.TempDir()
	if err := os.WriteFile(filepath.Join(credentials, "cms-secret-key"), []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{ // as in EnvironmentFile
		"RESTWATCH_CMS_URL": "https://cms.example.com:28443", "RESTWATCH_CMS_ACCESS_KEY": "ak", "RESTWATCH_VDNS": "1:170",
	}
	var state, loaded string
	for _, s := range readUnit(t) {
		if secret.MatchString(s.value) {
			t.Errorf("%s holds a secret", s.key)
		}
		switch s.key {
		case "Environment":
			k, v, _ := strings.Cut(s.value, "=")
			env[k] = strings.NewReplacer("%d", credentials, "%S", "/var/lib").Replace(v)
		case "StateDirectory":
			state = s.value
		case "LoadCredential":
			loaded, _, _ = strings.Cut(s.value, ":")
		}
	}
	if got, want := env["RESTWATCH_CMS_SECRET_KEY_FILE"], filepath.Join(credentials, loaded); got != want {
		t.Errorf("got secret key file %q, the credential is %q", got, want)
	}
	if got, want := env["RESTWATCH_STORE_DIR"], "/var/lib/"+state; got != want {
		t.Errorf("got store %q, the unit may write to %q", got, want)
	}
	c, err := config.Load(lines(env))
	if err != nil {
		t.Fatal(err)
	}
	if c.CMSSecretKey != "secret" {
		t.Error("the secret key is not that of the credential")
	}
}
