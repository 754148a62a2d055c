package cmd

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/ptytest"
)

// Of keys that a report has the ids of, those are replaced that a person says yes to,
// one by one, also with --yes.
func TestAPersonSaysWhichUnprovenKeyHasLeaked(t *testing.T) {
	dir := t.TempDir()
	environ := map[string]string{"FOB_HOME": dir, "FOB_STORAGE": "file", "FOB_SEAL_KEY": strings.Repeat("ab", 32), "TERM": "dumb"}
	fob := func(stdin io.Reader, stderr io.Writer, args ...string) (stdout string, err error) {
		var out bytes.Buffer
		root := newRootCmd(app.New(stdin, &out, stderr, environ), args)
		root.SetArgs(args)
		err = root.ExecuteContext(t.Context())
		return out.String(), err
	}
	var ids []string
	for range 2 {
		key, err := fob(strings.NewReader(""), io.Discard, "key", "create", "--owner", "shop")
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, strings.Split(key, "_")[2])
	}
	report := filepath.Join(dir, "leaks.json")
	text := fmt.Sprintf(`[{"RuleID":"fob-api-key","Secret":"REDACTED","Match":"fob_test_%s_redacted","File":"a"},{"RuleID":"fob-api-key","Secret":"REDACTED","Match":"fob_test_%s_redacted","File":"b"}]`, ids[0], ids[1])
	if err := os.WriteFile(report, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	person, program := ptytest.Open(t)
	answered := make(chan string, 1)
	go func() { // whoever reads the questions
		screen, answers := "", []string{"n\n", "yes\n"}
		for buffer := make([]byte, 4096); ; {
			n, err := person.Read(buffer)
			screen += string(buffer[:n])
			if strings.Count(screen, "[y/N]") == 3-len(answers) {
				_, _ = io.WriteString(person, answers[0])
				answers = answers[1:]
			}
			if err != nil || len(answers) == 0 {
				answered <- screen
				return
			}
		}
	}()
	printed, err := fob(program, program, "incident", "--report", report, "--yes", "--output", filepath.Join(dir, "incident.md"))
	if !strings.HasPrefix(printed, ids[1]+" fob_test_") || strings.Count(printed, "\n") != 1 || err == nil || !strings.Contains(err.Error(), "1 key skipped: not confirmed") {
		t.Fatalf("%q, %v", printed, err)
	}
	if screen := <-answered; !strings.Contains(screen, "not proven to be leaked") || !strings.Contains(screen, "Replace key "+ids[0]) {
		t.Error(screen)
	}
	for i, want := range []string{"active", "revoked"} {
		if shown, err := fob(strings.NewReader(""), io.Discard, "key", "show", ids[i], "--json"); err != nil || !strings.Contains(shown, `"state": "`+want+`"`) {
			t.Errorf("%d: %v, %s", i, err, shown)
		}
	}
}
