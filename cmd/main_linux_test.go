package cmd

import (
	"io"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func TestSignals_AreCaughtWhenSomethingWaits(t *testing.T) {
	before := runtime.NumGoroutine()
	ctx := untilSignal()
	if status := Main([]string{"version"}, strings.NewReader(""), io.Discard, io.Discard); status != 0 || ctx.Value("key") != nil || runtime.NumGoroutine() != before {
		t.Fatalf("status %d; %d goroutines were started", status, runtime.NumGoroutine()-before)
	}
	if err := ctx.Err(); err != nil || runtime.NumGoroutine() == before {
		t.Fatalf("not caught: %v", err)
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
}
