//go:build unix

package scripttest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fobcli/fob/internal/apikey/registry/registrytest"
)

// TestKeyScripts runs the scripts in testdata/script/key on each kind of registry.
// Beside testscript's own commands they have:
//
//	exits N CMD…      run a command that must exit with status N
//	keyid VAR         set VAR to the id of the key that was printed last
//	freshregistry     go on with an empty registry
//	crowd N CMD…      run N processes at once, and leave their exit statuses in stdout
func TestKeyScripts(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			if kind == "postgres" {
				needPostgres(t)
			}
			runScripts(t, testscript.Params{
				Dir:                 inRoot("testdata/script/key"),
				RequireExplicitExec: true,
				Setup: func(env *testscript.Env) error {
					if err := setupProgram(env); err != nil {
						return err
					}
					env.Setenv("KIND", kind)
					registry, err := freshRegistry(kind, env.WorkDir)
					env.Setenv("FOB_REGISTRY", registry)
					return err
				},
				Condition: func(condition string) (bool, error) { return condition == kind, nil },
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"exits": cmdExits,
					"keyid": cmdKeyID,
					"crowd": cmdCrowd,
					"freshregistry": func(ts *testscript.TestScript, _ bool, _ []string) {
						registry, err := freshRegistry(kind, ts.MkAbs("."))
						ts.Check(err)
						ts.Setenv("FOB_REGISTRY", registry)
					},
				},
			})
		})
	}
}

var postgres struct {
	sync.Mutex
	server *registrytest.Postgres
}

// needPostgres starts the server of all tests in this package; TestMain stops it.
func needPostgres(t *testing.T) {
	t.Helper()
	postgres.Lock()
	defer postgres.Unlock()
	if postgres.server != nil {
		return
	}
	server, err := registrytest.StartPostgres()
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	postgres.server = server
}

func stopPostgres() {
	if postgres.server != nil {
		postgres.server.Stop()
	}
}

// freshRegistry names an empty registry.
func freshRegistry(kind, dir string) (string, error) {
	if kind == "postgres" {
		return postgres.server.NewDatabase()
	}
	dir, err := os.MkdirTemp(dir, "registry-")
	return "sqlite:" + dir + "/keys.db", err
}

func cmdKeyID(ts *testscript.TestScript, _ bool, args []string) {
	ids := regexp.MustCompile(`_(1[0-9A-Za-z]{11})_[0-9A-Za-z]{38}`).FindStringSubmatch(ts.ReadFile("stdout"))
	if ids == nil {
		ts.Fatalf("no key was printed")
	}
	ts.Setenv(args[0], ids[1])
}

// cmdCrowd prints a line "N processes ended with S" for each status.
func cmdCrowd(ts *testscript.TestScript, _ bool, args []string) {
	program, err := lookPath(ts.Getenv("PATH"), args[1])
	ts.Check(err)
	statuses := make(map[int]int)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range atoi(ts, args[0]) {
		command := exec.Command(program, args[2:]...)
		command.Env = append(scriptEnv(ts), "FOB_REGISTRY="+ts.Getenv("FOB_REGISTRY"))
		wg.Go(func() {
			_ = command.Run()
			mu.Lock()
			defer mu.Unlock()
			statuses[command.ProcessState.ExitCode()]++
		})
	}
	wg.Wait()
	for status, n := range statuses {
		fmt.Fprintf(ts.Stdout(), "%d ended with %d\n", n, status)
	}
}
