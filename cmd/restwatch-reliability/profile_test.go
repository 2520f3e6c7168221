package reliability

import (
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

var profiles = flag.String("profiles", "", "folder for heap profiles of the soak; none takes none")

// profiling in the environment of such a restwatch is where it can be profiled.
const profiling = "RELIABILITY_PROFILING"

// profiler makes a restwatch that can be profiled. The product has no such hook.
func profiler(t *testing.T) string {
	t.Helper()
	return variant(t, "build", "restwatch/cmd/restwatch", map[string]string{
		filepath.Join(folder(t, "restwatch/cmd/restwatch"), "profiling.go"): `package main

import (
	"net/http"
	_ "net/http/pprof"
	"os"
)

func init() { go http.ListenAndServe("127.0.0.1:"+os.Getenv("` + profiling + `"), nil) }
`})
}

// profile keeps the heap of a process that can be profiled at this port.
func profile(t *testing.T, port int, name string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	res, err := client.Get("http://127.0.0.1:" + strconv.Itoa(port) + "/debug/pprof/heap?gc=1")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	f, err := os.Create(filepath.Join(*profiles, name+".pprof"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, res.Body); err != nil {
		t.Fatal(err)
	}
}
