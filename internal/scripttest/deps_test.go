//go:build unix

package scripttest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// One binary pays the start-up of every package that is linked into it: these
// must not come in by the back door.
var banned = map[string]string{
	"github.com/fobcli/fob/internal/authservertest": "the test issuer is for tests and the demo",
	"testing":           "tests are not linked into the program",
	"net/http/httptest": "tests are not linked into the program",
	"github.com/fobcli/fob/internal/apikey/registry/registrytest": "tests are not linked into the program",
	"html/template":                              "result pages are fixed text",
	"github.com/spf13/viper":                     "the configuration is read once, by one package",
	"cloud.google.com/go/compute/metadata":       "no cloud SDK is linked",
	"k8s.io/client-go/kubernetes":                "client-go costs milliseconds at every start",
	"github.com/hashicorp/vault/api":             "a destination is a few REST calls",
	"github.com/jackc/pgx/v5":                    "its pgconn is enough: the rest adds 3 MiB",
	"github.com/aws/aws-sdk-go-v2/aws":           "a destination is a few REST calls",
	"github.com/rogpeppe/go-internal/testscript": "for tests alone",
	"github.com/spf13/cobra/doc":                 "man pages are made when a release is",
}

func deps(t *testing.T, packages string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", packages).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

func TestBannedDependencies(t *testing.T) {
	linked := deps(t, ".")
	if len(linked) < 100 {
		t.Fatalf("only %d packages are linked", len(linked))
	}
	for _, dep := range linked {
		if why, ok := banned[dep]; ok {
			t.Errorf("fob links %s: %s", dep, why)
		}
	}
}

// A reachable reflect.Value.MethodByName turns off the linker's dead-code elimination, and
// every exported method of every package is linked.
func TestDeadCodeElimination(t *testing.T) {
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w -dumpdep", "-o", t.TempDir()+"/fob", ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as a release is built
	out, err := build.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "main.main -> ") {
		t.Fatalf("%v\n%.2000s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "<ReflectMethod>") {
			t.Fatalf("dead-code elimination is off: %s", line)
		}
	}
}

func TestALoginNeedsNoDatabase(t *testing.T) {
	for _, dep := range deps(t, "./internal/session") {
		if strings.HasPrefix(dep, "database/sql") || strings.HasPrefix(dep, "github.com/ncruces/") || strings.HasPrefix(dep, "modernc.org/") || strings.HasPrefix(dep, "github.com/jackc/") {
			t.Errorf("internal/session reaches %s", dep)
		}
	}
}

func TestTheProtocolKnowsNoStorageAndNoCommand(t *testing.T) {
	for _, protocol := range []string{"./internal/oauth", "./internal/idtoken", "./internal/discovery"} {
		for _, dep := range deps(t, protocol) {
			for _, room := range []string{"cmd", "internal/session", "internal/credstore", "internal/config"} {
				if dep == "github.com/fobcli/fob/"+room {
					t.Errorf("%s reaches %s", protocol, room)
				}
			}
		}
	}
}
