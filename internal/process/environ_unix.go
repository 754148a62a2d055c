//go:build unix

package process

import (
	"bytes"
	"os"
	"unsafe"
)

// HideVariables overwrites the values of variables in the environment that other processes
// may read; Go has its own copy. Linux shows it only to root after Protect, macOS to all
// programs of the user (KERN_PROCARGS2 in sysctl(3)). known are all variables that the
// process was started with.
//
// The environment is on the stack after the arguments (execve(2)), and ends where there is
// no NAME=VALUE with a known name.
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
				value[i] = '*' // not NUL, which would end a later call early
			}
		}
		at = unsafe.Add(at, length+1)
	}
}
