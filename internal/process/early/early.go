// Package early makes the process undumpable on Linux before main starts, as
// process.Protect does there. Main imports it only for that.
//
// Go initializes a package once those that it imports are initialized, ties by path. This
// one imports only syscall, so that it precedes os and nearly all others.
package early
