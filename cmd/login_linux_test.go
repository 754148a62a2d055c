package cmd

import (
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/ptytest"
)

// screen is what a person reads on a pseudo-terminal.
type screen struct {
	t      *testing.T
	person *os.File
	shown  string
}

// until reads on until the screen shows what an expression matches, and returns its group.
func (s *screen) until(expression string) string {
	wanted := regexp.MustCompile(expression) //nolint:forbidigo // a test may take its time
	for buffer := make([]byte, 4096); ; {
		if match := wanted.FindStringSubmatch(s.shown); match != nil {
			s.shown = s.shown[wanted.FindStringIndex(s.shown)[1]:]
			return match[len(match)-1]
		}
		n, err := s.person.Read(buffer)
		if err != nil {
			s.t.Errorf("the screen does not show %s: %s", expression, s.shown)
			return ""
		}
		s.shown += string(buffer[:n])
	}
}

func (s *screen) enter(line string) { _, _ = io.WriteString(s.person, line+"\r") }

// The question comes on the terminal on which the redirect URL was pasted, and an
// answer that is not yes leaves the login as it was.
func TestI69_AnotherAccountIsAskedAbout(t *testing.T) {
	server, err := authservertest.Start(authservertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	environ := map[string]string{"FOB_HOME": t.TempDir(), "FOB_STORAGE": "file", "FOB_SEAL_KEY": strings.Repeat("ab", 32), "TERM": "dumb"}
	for _, test := range []struct {
		name, fault, answer string
		timeout             string
		done                string // what the end says
		account             string
	}{
		{"first", "", "", "5m", "", "Ada"},
		{"the same account", "", "", "5m", "", "Ada"},
		{"another, and no", "id-token-eve", "n", "5m", "not confirmed; the previous login is unchanged", "Ada"},
		{"another, and neither", "id-token-eve", "http://127.0.0.1/", "5m", "not confirmed", "Ada"},
		{"another, and no, after the timeout", "id-token-eve", "n", "3s", "not confirmed; the previous login is unchanged", "Ada"},
		{"another, and yes", "id-token-eve", "y", "5m", "", "Eve"},
	} {
		if test.fault != "" {
			if err := server.InjectFault(test.fault, 1); err != nil {
				t.Fatal(err)
			}
		}
		person, program := ptytest.Open(t)
		go func() {
			s := &screen{t: t, person: person}
			url := s.until(`(?s)\n  (http://\S+)\r\n.*paste the address of that page here`)
			back, err := authservertest.Redirect(t.Context(), url, http.DefaultClient)
			if err != nil {
				t.Error(err)
			}
			s.enter(back)
			if test.answer != "" {
				s.until(`work is logged in as Ada Lovelace <ada@example.com>. Replace that login with one of Eve <eve@example.com>\? \[y/N\] `)
				if test.timeout == "3s" { // it is for the browser only
					over, stop := context.WithTimeout(t.Context(), 3*time.Second)
					<-over.Done()
					stop()
				}
				s.enter(test.answer)
			}
			_, _ = io.Copy(io.Discard, person)
		}()
		args := []string{"login", "work", "--issuer", server.Issuer(), "--client-id", "fob-test", "--no-browser", "--timeout", test.timeout}
		root := newRootCmd(app.New(program, io.Discard, program, environ), args)
		root.SetArgs(args)
		err := root.ExecuteContext(t.Context())
		if (err == nil) != (test.done == "") || err != nil && !strings.Contains(err.Error(), test.done) {
			t.Errorf("%s: %v", test.name, err)
		}
		var out strings.Builder
		root = newRootCmd(app.New(strings.NewReader(""), &out, io.Discard, environ), []string{"status", "work"})
		root.SetArgs([]string{"status", "work"})
		if err := root.ExecuteContext(t.Context()); err != nil || !strings.Contains(out.String(), test.account) {
			t.Errorf("%s: %v\n%s", test.name, err, out.String())
		}
		if !ptytest.Echoes(t, program) {
			t.Errorf("%s: the terminal has no echo", test.name)
		}
	}
}
