package reliability

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"restwatch/publisher/freeport"
)

// beNATS in the environment makes the test binary a nats-server, of the module
// that go.mod names, so that it can be killed as a process.
const beNATS = "RELIABILITY_NATS"

// natsSpec is what such a server is told.
type natsSpec struct {
	Name, Dir   string
	Host        string
	Port        int
	ClusterPort int  // 0: alone
	ProfPort    int  // 0: cannot be profiled
	SyncLater   bool // every two minutes, as is nats-server's default
	Routes      []string
}

// natsMain is the server's process. It ends with its standard input, or by the
// signals that nats-server takes.
func natsMain(spec string) int {
	var n natsSpec
	if err := json.Unmarshal([]byte(spec), &n); err != nil {
		fmt.Println(err)
		return 2
	}
	// As deployments/nats-server.conf has it, but for a lame duck of minutes.
	opts := &server.Options{
		ServerName: n.Name, Host: n.Host, Port: n.Port, JetStream: true, StoreDir: n.Dir, SyncAlways: !n.SyncLater, ProfPort: n.ProfPort,
		LameDuckDuration: 8 * time.Second, LameDuckGracePeriod: 3 * time.Second,
	}
	if n.ClusterPort != 0 {
		opts.Cluster = server.ClusterOpts{Name: "c", Host: n.Host, Port: n.ClusterPort}
		for _, r := range n.Routes {
			u, err := url.Parse(r)
			if err != nil {
				fmt.Println(err)
				return 2
			}
			opts.Routes = append(opts.Routes, u)
		}
	}
	s, err := server.NewServer(opts)
	if err != nil {
		fmt.Println(err)
		return 2
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(patience) {
		fmt.Println("not ready")
		return 2
	}
	fmt.Println("nats ready")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		s.Shutdown()
	}()
	s.WaitForShutdown()
	return 0
}

// node is a nats-server that can be killed and started again.
type node struct {
	*process
	spec natsSpec
	// namespace that it runs in, "" for the test's own.
	namespace string
	binary    string // "": this test's own
	env       []string
}

func (n *node) url() string {
	return "nats://" + net.JoinHostPort(n.spec.Host, strconv.Itoa(n.spec.Port))
}

func (n *node) start(t *testing.T) {
	t.Helper()
	spec, err := json.Marshal(n.spec)
	if err != nil {
		t.Fatal(err)
	}
	self := n.binary
	if self == "" {
		if self, err = os.Executable(); err != nil {
			t.Fatal(err)
		}
	}
	n.process = spawnIn(t, n.namespace, append([]string{beNATS + "=" + string(spec)}, n.env...), self)
	n.await(t, "nats ready")
}

// startNATS runs n servers, changed if so wanted; more than one are a cluster.
func startNATS(t *testing.T, n int, change ...func(*node)) []*node {
	t.Helper()
	nodes := make([]*node, n)
	for i := range nodes {
		nodes[i] = &node{spec: natsSpec{Name: fmt.Sprintf("n%d", i), Dir: t.TempDir(), Host: loopback, Port: freeport.Hold(t)}}
		if *profiles != "" {
			nodes[i].spec.ProfPort = freeport.Hold(t)
		}
		if n > 1 {
			nodes[i].spec.ClusterPort = freeport.Hold(t)
		}
	}
	for _, nd := range nodes {
		for _, c := range change {
			c(nd)
		}
	}
	startAll(t, nodes)
	return nodes
}

// startAll starts servers that know one another.
func startAll(t *testing.T, nodes []*node) {
	t.Helper()
	var routes []string
	for _, nd := range nodes {
		if nd.spec.ClusterPort != 0 {
			routes = append(routes, "nats-route://"+net.JoinHostPort(nd.spec.Host, strconv.Itoa(nd.spec.ClusterPort)))
		}
	}
	for _, nd := range nodes {
		nd.spec.Routes = routes
		nd.start(t)
	}
}
