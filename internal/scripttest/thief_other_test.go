//go:build unix && !linux

package scripttest

import "github.com/rogpeppe/go-internal/testscript"

func cmdSteal(ts *testscript.TestScript, _ bool, _ []string) { ts.Fatalf("this needs Linux") }

func thief() {}

func peek() {}
