// Package assess tells from recorded readings which assumptions of the
// inference (A1 to A7 of docs/inference.md) hold on a platform, and so how far
// `certain` can be trusted there.
//
// It is fed every poll of a recording and what diff.Compare made of it. Where
// it can, it does not rely on Compare's conclusions, as these rest on the very
// assumptions: it compares the totals of two readings with what visibly changed
// between them. If nobody came, went or got another begin time, the totals
// cannot have changed either; if one agent did, he alone accounts for them.
//
// # What a verdict means
//
// Held: something could have spoken against it and nothing did. Broken: there
// are counter-examples. Not tested: nothing in the recording bears on it. What
// no list can ever show is said so. A verdict is about the recording: a
// platform may do tomorrow what it did not do today.
//
// An Assessment keeps, for each VDN, the last readings and one begin time for
// each agent who has left, however long the recording is. The same recording
// gives the same report.
package assess
