// Package early prepares the process before main starts: on Linux it becomes undumpable, as
// by process.Protect. It is only imported for that.
//
// Go initializes packages in the order of their imports, ties by path. This one imports
// only syscall, so that it precedes os and nearly all others.
package early

// main's stack grows once, while almost nothing is on it: at each later step the runtime would
// look up all functions on the stack in tables that are not in memory yet.
var _ = growStack(0)

//go:noinline
func growStack(index int) (b byte) {
	if index > 0 { // never: the frame is enough, and is not touched
		var frame [28 << 10]byte
		b = frame[index]
	}
	return b
}
