package main

import (
	"fmt"
	"strings"
	"testing"

	"restwatch/publisher/freeport"
)

// closedAddress is where nobody listens.
func closedAddress(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", freeport.Hold(t))
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings []string
		faults   string
		code     int
		says     []string
		calls    int64 // at most
	}{
		"all well":       {code: exitOK, says: []string{"settings", "NATS", "not running; serve starts it", "VDN 1:170", "VDN 1:171", "4 resting"}, calls: 2},
		"wrong key":      {settings: []string{"CMS_SECRET_KEY=" + secretKey + "-wrong"}, code: exitFailure, says: []string{"refused", "-> check RESTWATCH_CMS_ACCESS_KEY", "no further call"}, calls: 1},
		"wrong account":  {settings: []string{"CMS_ACCESS_KEY=nobody"}, code: exitFailure, says: []string{"refused", "-> check RESTWATCH_CMS_ACCESS_KEY"}, calls: 1},
		"clock":          {faults: "skew=1h", code: exitFailure, says: []string{"refused", "clock"}, calls: 1},
		"locked":         {faults: "locked", code: exitFailure, says: []string{"locked", "-> wait"}, calls: 1},
		"no CA":          {settings: []string{"CMS_CA_FILE="}, code: exitFailure, says: []string{"network", "RESTWATCH_CMS_CA_FILE"}},
		"wrong name":     {settings: []string{"CMS_SERVER_NAME=cms.example.com"}, code: exitFailure, says: []string{"network", "RESTWATCH_CMS_SERVER_NAME"}},
		"wrong port":     {settings: []string{"CMS_URL=https://" + closedAddress(t)}, code: exitFailure, says: []string{"network", "RESTWATCH_CMS_URL"}},
		"wrong path":     {settings: []string{"path"}, code: exitFailure, says: []string{"404", "path of RESTWATCH_CMS_URL"}},
		"no TLS":         {settings: []string{"plain"}, code: exitFailure, says: []string{"RESTWATCH_CMS_URL"}},
		"unknown VDN":    {settings: []string{"VDNS=1:170,1:9"}, code: exitFailure, says: []string{"VDN 1:170", "VDN 1:9", "0101003", "-> check the VDN in RESTWATCH_VDNS", "1 problem"}, calls: 2},
		"something else": {faults: "html", code: exitFailure, says: []string{"malformed", "something else than CC-CMS"}},
		"unavailable":    {faults: "status=503", code: exitFailure, says: []string{"503"}},
		"silent":         {faults: "hang", settings: []string{"CMS_TIMEOUT=200ms"}, code: exitFailure, says: []string{"timeout", "firewalls"}},
		"NATS down":      {settings: []string{"NATS_URL=nats://" + closedAddress(t)}, code: exitFailure, says: []string{"no server answers", "-> start the server, or mend RESTWATCH_NATS_URL", "VDN 1:170"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := startUpstream(t, byHand(vdn170, vdn171)...)
			u.show(vdn170, firstRoster())
			u.show(vdn171, firstRoster())
			u.setFaults(t, c.faults)
			for i, s := range c.settings {
				switch s {
				case "path":
					c.settings[i] = "CMS_URL=" + u.URL().String() + "/rest"
				case "plain":
					c.settings[i] = "CMS_URL=http://" + u.Addr()
				}
			}
			env := u.settings(t, append([]string{"NATS_LISTEN=" + closedAddress(t)}, c.settings...)...)
			code, out, errOut := execute(t, t.Context(), env, "", "check")
			if code != c.code || !containsAll(out+errOut, c.says) {
				t.Errorf("exit %d, want %d with %q:\n%s%s", code, c.code, c.says, out, errOut)
			}
			if n := u.Calls(); c.calls > 0 && n > c.calls {
				t.Errorf("%d calls, want at most %d", n, c.calls)
			}
			if code == exitOK && errOut != "" || code != exitOK && strings.Count(errOut, "\n") != 1 {
				t.Errorf("stderr: %q", errOut)
			}
		})
	}
}

// check beside a running service changes nothing and finds its stream.
func TestCheckBesideTheService(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, byHand(vdn170)...)
	u.show(vdn170, firstRoster())
	s := startService(t, u.settings(t))
	s.polled(vdn170)
	env := u.settings(t, "NATS_LISTEN="+strings.TrimPrefix(s.nats, "nats://"))
	code, out, errOut := execute(t, t.Context(), env, "", "check")
	if code != exitOK || !strings.Contains(out, "ok, stream REST") {
		t.Errorf("exit %d:\n%s%s", code, out, errOut)
	}
}
