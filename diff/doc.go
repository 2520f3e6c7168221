// Package diff finds out what the agents of a VDN did between two readings of
// its rest information. It is the reasoning of the service and nothing else: a
// pure function from what was known and what was read to what is known now and
// what happened, without clock, I/O, randomness or memory of its own.
//
// # The difficulty
//
// The upstream lists agents who wait for a rest, may rest and rest, without
// saying who is which. It gives the three totals, a reason code that is not 0
// only for agents who wait, and a begin time that moves when the state does.
// Compare works with sets of states that an agent may be in, narrows them by
// everything the readings say together, and calls certain only what is left
// without an alternative. docs/inference.md explains and proves the method.
//
// # Words
//
// A token is an agent with one begin time: it has one state for its whole life
// (see bucket.go for whole-second begin times, which need more care). A rest is
// a chain of tokens waiting, approved, resting, in this order. An event is the
// net change of one agent between two sightings.
//
// The anchor is the last reading whose totals and list describe one instant.
// Between the anchor and the present reading every token is of one of three
// groups: it was there both times, then only, or now only. counting.go finds
// what the totals say about each.
//
// # Promises
//
// The same input gives the same bytes, in whatever order the list comes.
// Comparing a snapshot with its own content gives no events. Nothing certain is
// wrong as long as the assumptions A1 to A7 of docs/inference.md hold; when the
// readings contradict them, everything is inferred until they no longer do.
// Values passed in are not changed, but for the order of Observation.Rows.
package diff
