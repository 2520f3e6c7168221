// Package reliability kills, stops and cuts off a running restwatch, its NATS
// and its CC-CMS, and then reads the stream and holds it against the truth of
// the simulated agents and against the promises to subscribers.
//
// It has tests only. The short form is part of every test run; the long one,
// whose table is docs/reliability.md, is
//
//	go test ./cmd/restwatch-reliability -long -v -timeout 2h
//
// Everything is a process of its own: the restwatch binary as it is shipped,
// and nats-server as its module makes it. Only processes started here are
// signalled, by pid, and only the loopback interface is used.
package reliability
