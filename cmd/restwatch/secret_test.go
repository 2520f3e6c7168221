package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"restwatch/diff"
)

const natsPassword = "battery-horse-staple-correct"

// No secret shows in anything that restwatch writes, at the most talkative log
// level, however calls fail: one VDN for each way of failing.
func TestNoSecretIsTold(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			var failing []strike
			var vdns []diff.VDN
			var faults []string
			for _, c := range strikes {
				stopsAll := slices.Contains(c.category, "refused") || slices.Contains(c.category, "locked")
				if c.category == nil || stopsAll || strings.HasPrefix(c.fault, "vdn=") {
					continue
				}
				v := diff.VDN{CC: 3, ID: 1 + len(vdns)}
				failing, vdns = append(failing, c), append(vdns, v)
				faults = append(faults, fmt.Sprintf("vdn=%v,%s", v, c.fault))
			}
			file := filepath.Join(t.TempDir(), "secret-key")
			if err := os.WriteFile(file, []byte(secretKey+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			u := startUpstream(t, byHand(vdns...)...)
			u.setFaults(t, strings.Join(faults, ","))
			s := startService(t, u.settings(t, "CMS_TIMEOUT=2s", "LOG_FORMAT="+format, "CMS_SECRET_KEY=", "CMS_SECRET_KEY_FILE="+file))
			for i, v := range vdns {
				s.bus.awaitFor(t, patience+longestBackoff, 0, "the failure of "+failing[i].fault, (&trial{strike: failing[i]}).isFailure(v))
			}
			s.fetch("/metrics")
			s.fetch("/readyz")
			u.setFaults(t, "skew=1h")
			s.bus.awaitFor(t, patience+longestBackoff, 0, "a pause", isFeed(vdns[0], diff.Paused))
			s.fetch("/metrics")
			s.fetch("/readyz")
			s.stop()
			checkNoSecret(t, s.log.String())
		})
	}
}

// A process that is given all secrets at once, wrong ones too, tells none.
func TestNoSecretOnTheTerminal(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, byHand(vdn170)...)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(natsPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	nats := startNATS(t, "", natsPassword, server.RANDOM_PORT)
	for name, settings := range map[string][]string{
		"wrong password":      {"NATS_URL=" + nats.ClientURL(), "NATS_USER=service", "NATS_PASSWORD=" + natsPassword + "x"},
		"password in the URL": {"NATS_URL=nats://service:" + natsPassword + "@127.0.0.1:4222"},
		"key and file":        {"CMS_SECRET_KEY_FILE=" + file},
		"password twice":      {"NATS_URL=" + nats.ClientURL(), "NATS_USER=service", "NATS_PASSWORD=" + natsPassword, "NATS_PASSWORD_FILE=" + file},
		"keys mixed up":       {"CMS_ACCESS_KEY=" + "two words", "CMS_URL=https://" + accessKey + ":" + natsPassword + "@127.0.0.1"},
		"secret as nkey":      {"NATS_URL=" + nats.ClientURL(), "NATS_NKEY_FILE=" + file},
		"secret as creds":     {"NATS_URL=" + nats.ClientURL(), "NATS_CREDS_FILE=" + file},
		"misspelt name":       {"NATS_PASSWROD=" + natsPassword},
	} {
		for _, command := range []string{"serve", "check"} {
			code, out, errOut := execute(t, t.Context(), u.settings(t, settings...), "", command)
			if code != exitFailure {
				t.Errorf("%s, %s: exit %d", name, command, code)
			}
			if errOut == "" {
				t.Errorf("%s, %s: said nothing", name, command)
			}
			checkNoSecret(t, out+errOut)
		}
	}
}

func checkNoSecret(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{secretKey, natsPassword} {
		for _, form := range []string{
			secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret)), fmt.Sprint([]byte(secret)),
		} {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("a secret is told: %q", text[max(0, i-200):i+len(form)])
			}
		}
	}
	if strings.Contains(text, "auth-v2/") {
		t.Errorf("an Authorization header is told")
	}
}
