// Package cmssim is a simulated CC-CMS, for restwatch sim, restwatch demo and
// the tests of every other package.
//
// A World is the truth about the rests of one VDN: a seeded discrete-event
// simulation without network, goroutine or wall clock. The same Config gives
// the same rests on every machine. It knows what the interface hides, the
// state of each listed agent, and keeps a History for whoever judges what was
// inferred from the lists.
//
// A Server lists the worlds of many VDNs over HTTPS as a real CC-CMS does:
// request signature checked from what came over the wire, parameters
// validated, CTI 3.6 paging over the moving list, older reply generations, and
// faults that can be switched while it runs.
//
// What the interface document leaves open was decided here, and is said at
// the place. Code under test must not rely on such a choice.
package cmssim
