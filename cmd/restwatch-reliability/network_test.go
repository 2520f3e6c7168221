package reliability

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// A network for the scenarios that cut it: a namespace for each machine, and one
// for this test, in which two bridges carry what the machines say to NATS. Who
// is moved from the one bridge to the other is cut off in silence, as by a switch
// that fails; those moved together still have one another. CC-CMS is on a bridge
// of its own, which is never cut.
//
// All addresses are private ones, inside of these namespaces. The test runs
// itself once more in its own.
const (
	insideOf   = "RELIABILITY_NAMESPACE" // in the environment: the name's beginning
	mainBridge = "main"
	island     = "island"
	cmsBridge  = "cms"
	cmsAddress = "10.78.0.1"
)

// machines of such a network: three of NATS, two of restwatch.
var machines = []string{"n0", "n1", "n2", "r0", "r1"}

func natsAddress(i int) string    { return fmt.Sprintf("10.77.0.%d", 10+i) }
func serviceAddress(i int) string { return fmt.Sprintf("10.78.0.%d", 10+i) }

// inNetwork runs the calling test, by its name, inside a network, and reports
// whether it is there already: then it has to do its work.
func inNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideOf) != "" {
		return true
	}
	needRoot(t, "it makes network namespaces, by ip of iproute2")
	name := "restwatch-" + strconv.Itoa(os.Getpid())
	makeNetwork(t, name)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", name, self, "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "2h",
		"-long", "-seed", fmt.Sprint(*seed), "-scale", fmt.Sprint(*scale), "-binary", binary)
	cmd.Env = append(os.Environ(), insideOf+"="+name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if line != "" {
			t.Log(strings.TrimSuffix(line, "\n"))
		}
		if err == io.EOF {
			break
		} else if err != nil {
			t.Error(err)
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("inside the network: %v", err)
	}
	return false
}

func needRoot(t *testing.T, why string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatalf("this scenario needs root: %s", why)
	}
}

// makeNetwork makes it. It goes with the test.
func makeNetwork(t *testing.T, name string) {
	t.Helper()
	spaces := []string{name}
	for _, m := range machines {
		spaces = append(spaces, name+"-"+m)
	}
	for _, s := range spaces {
		ip(t, "netns", "add", s)
		t.Cleanup(func() { removeNamespace(t, s) })
		ip(t, "-n", s, "link", "set", "lo", "up")
	}
	hub := func(args ...string) { t.Helper(); ip(t, append([]string{"-n", name}, args...)...) }
	for _, b := range []string{mainBridge, island, cmsBridge} {
		hub("link", "add", b, "type", "bridge")
		hub("link", "set", b, "up")
	}
	hub("address", "add", "10.77.0.1/24", "dev", mainBridge)
	hub("address", "add", cmsAddress+"/24", "dev", cmsBridge)
	for i, m := range machines {
		for _, nic := range []struct{ name, bridge, address string }{
			{m, mainBridge, natsAddress(i)},
			{m + "c", cmsBridge, serviceAddress(i)},
		} {
			hub("link", "add", nic.name, "type", "veth", "peer", "name", nic.bridge, "netns", name+"-"+m)
			hub("link", "set", nic.name, "master", nic.bridge, "up")
			ip(t, "-n", name+"-"+m, "address", "add", nic.address+"/24", "dev", nic.bridge)
			ip(t, "-n", name+"-"+m, "link", "set", nic.bridge, "up")
		}
	}
}

// removeNamespace ends what still runs in a namespace that this test made, as
// after a test that timed out, and removes it.
func removeNamespace(t *testing.T, name string) {
	t.Helper()
	out, err := exec.Command("ip", "netns", "pids", name).Output()
	if err != nil {
		t.Error(err)
	}
	for _, pid := range strings.Fields(string(out)) {
		if n, err := strconv.Atoi(pid); err == nil {
			if p, err := os.FindProcess(n); err == nil {
				_ = p.Kill() // it may have ended
			}
		}
	}
	if out, err := exec.Command("ip", "netns", "delete", name).CombinedOutput(); err != nil {
		t.Errorf("remove namespace: %v: %s", err, out)
	}
}

// bridge moves machines to a bridge.
func bridge(t *testing.T, to string, members ...string) {
	t.Helper()
	for _, m := range members {
		ip(t, "link", "set", m, "master", to)
	}
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}
