package scripttest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fobcli/fob/internal/authservertest"
)

// cmdSteal runs thief as another user, from this binary, whose folder is closed to them.
func cmdSteal(ts *testscript.TestScript, _ bool, args []string) {
	const uid = 4711
	if os.Geteuid() != 0 {
		ts.Fatalf("only root can be another user")
	}
	self, err := os.Open("/proc/self/exe")
	ts.Check(err)
	defer self.Close()
	cmd := exec.Command("/proc/self/fd/3", args...)
	cmd.Args[0] = "thief"
	cmd.ExtraFiles = []*os.File{self}
	cmd.Dir, cmd.Env = "/", []string{"TMPDIR=/tmp"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		ts.Fatalf("thief: %v: %s", err, out)
	}
	ts.Logf("[thief]\n%s", out)
	ts.Check(os.WriteFile(ts.MkAbs("thief.out"), out, 0o600))
}

var anyURL = regexp.MustCompile(`https?://[^\x00]+`)

// thief reads the arguments of all processes, as any user can.
func thief() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(time.Millisecond); ctx.Err() == nil; <-tick.C {
		processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, process := range processes {
			arguments, err := os.ReadFile(process)
			if err != nil || !bytes.Contains(arguments, []byte(os.Args[1])) || bytes.HasPrefix(arguments, []byte("thief")) {
				continue
			}
			if url := anyURL.Find(arguments); url != nil {
				status, page, err := authservertest.Approve(ctx, string(url), http.DefaultClient)
				fmt.Printf("uid %d, %s: %d %v\n%s\n", os.Getuid(), url, status, err, page)
				return
			}
		}
	}
	fmt.Println("no such process")
	os.Exit(1)
}
