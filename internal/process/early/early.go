// Package early makes the process undumpable on Linux before main starts, like
// process.Protect. It is only imported for that.
//
// Go initializes packages in the order of their imports, ties by path. This one imports
// only syscall, so that it precedes os and nearly all others.
package early
