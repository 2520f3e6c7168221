// Package freeport finds a port for a server that a test starts, stops and
// starts again, or starts as a process. Nobody else is given it in the meantime,
// by this process or another: a port that is merely found free is often somebody
// else's a moment later, where many tests run side by side.
package freeport
