// Package cms is the client of CC-CMS's interface "query agent rest
// information" (agentgroup/agentrestinfos).
//
// [Client.Read] gives one consistent observation of a VDN, whichever CTI
// generation answers (3.6 pages, 3.8 does not, nothing in a reply says which),
// or a typed [*Error] whose [Category] says what kind of failure it was. A list
// that may be short is never returned as a good one: a page that fails fails
// the reading, and pages that do not describe one instant make it Torn.
//
// What is not promised: the client neither retries a failed reading nor pauses
// after a refusal. It makes the calls it is told to make; when to call again is
// the poller's decision.
//
// docs/upstream.md says where each assumption about the interface comes from.
package cms
