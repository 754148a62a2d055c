//go:build unix

package process

import (
	"bytes"
	"os"
	"unsafe"
)

// HideVariables overwrites the values of variables in the environment that the system
// shows to others, of which Go has made a copy of its own. Linux shows it to root alone
// once Protect has run, macOS to all programs of the user (KERN_PROCARGS2 in sysctl(3)).
// known are all variables that the process was started with.
//
// The environment is on the stack, where the arguments end (execve(2) puts it there), and
// ends where there is no NAME=VALUE of a known name.
func HideVariables(known map[string]string, hidden func(name string) bool) {
	last := os.Args[len(os.Args)-1]
	at := unsafe.Add(unsafe.Pointer(unsafe.StringData(last)), len(last)+1)
	for {
		length := 0
		for *(*byte)(unsafe.Add(at, length)) != 0 {
			length++
		}
		name, value, _ := bytes.Cut(unsafe.Slice((*byte)(at), length), []byte("="))
		if _, ok := known[string(name)]; !ok {
			return
		}
		if hidden(string(name)) {
			for i := range value {
				value[i] = '*' // no NUL, at which a later call would end
			}
		}
		at = unsafe.Add(at, length+1)
	}
}
