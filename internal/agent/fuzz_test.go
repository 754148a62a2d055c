//go:build unix

package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// FuzzRequest parses what any program of this user may send to the agent.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"do":"token","home":{"config":"/c","data":"/d","cache":"/e"},"profile":"work","min_ttl":60000000000}`, `{"do":"unlock","key":"AAAA"}`,
		`{"do":"token","do":"stop"}`, `{"do":"status"}{"do":"stop"}`, `{"do":""}`, `[]`, `null`, `{}`, "", `{"do":"lock"}` + "\x00", `{"do":1}`,
		`{"do":"token","profile":"\u001b[31m\ud800"}`, `{"do":"unlock","key":"c2VjcmV0IGtleSBvZiB0aGUgZmlsZXM="}`, strings.Repeat("[", maxRequest),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := parseRequest(line)
		if err != nil {
			if r.Do != "" || r.Key != nil || r.Profile != "" {
				t.Fatalf("%q is refused, and something of it stays: %+v", line, r)
			}
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseRequest(again); err != nil || r.Do == "" {
			t.Errorf("%q is a request, and %q is none: %v", line, again, err)
		}
		shown := fmt.Sprintf("%q for %q", r.Do, r.Profile)
		for _, got := range []string{fmt.Sprint(r), fmt.Sprintf("%+v", r), fmt.Sprintf("%#v", r)} {
			if got != shown {
				t.Errorf("more is shown of a request than it may: %s", got)
			}
		}
	})
}

// FuzzAnswer reads what another machine's agent, or a program that is none, may send.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"last":true,"token":{"access_token":"secret-token","token_type":"Bearer"}}`, `{"note":"x"}` + "\n" + `{"alive":true}` + "\n" + `{"last":true}`,
		strings.Repeat(`{"note":"x"}`+"\n", 2*maxNotes) + `{"last":true,"status":{"profiles":["\u001b"],"forget_after":-1}}`,
		`{"last":true,"failure":{"error":"x","status":-1}}`, `{"last":"yes"}`, `null`, `{"last":true}x`, "", `{"note":"` + strings.Repeat("x", 100_000) + `"}`,
	} {
		f.Add([]byte(seed))
		f.Add([]byte(seed + "\n"))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		notes, waits := 0, 0
		a, err := readAnswer(bytes.NewReader(sent), func() { waits++ }, func(line string) {
			if notes++; line == "" {
				t.Fatalf("%q shows an empty note", sent)
			}
		})
		switch {
		case notes > maxNotes || waits > bytes.Count(sent, []byte("\n"))+2:
			t.Fatalf("%.200q shows %d notes and waits %d times", sent, notes, waits)
		case err == nil && !a.Last, err != nil && (a.Token != nil || a.Status != nil || a.Failure != nil):
			t.Fatalf("%q: %+v, %v", sent, a, err)
		case a.Token != nil && len(a.Token.AccessToken) > 20 && strings.Contains(fmt.Sprintf("%v %+v %#v", a.Token, a.Token, *a.Token), a.Token.AccessToken):
			t.Fatalf("%q shows its token", sent)
		}
	})
}
