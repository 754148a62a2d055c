package leakscan

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/apikey"
)

func sarifOf(t *testing.T, r Result) (text []byte, log map[string]any) {
	t.Helper()
	text, err := json.Marshal(SARIF("1.2.3", r, func(i int) (string, bool) { return r.Findings[i].Masked(), i == 0 }))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &log); err != nil {
		t.Fatal(err)
	}
	return text, log
}

// at returns a value within JSON, or fails.
func at[T any](t *testing.T, value any, path ...any) T {
	t.Helper()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			object, _ := value.(map[string]any)
			value = object[step]
		case int:
			list, _ := value.([]any)
			if step >= len(list) {
				t.Fatalf("%v: %d of %d", path, step, len(list))
			}
			value = list[step]
		}
	}
	typed, ok := value.(T)
	if !ok {
		t.Fatalf("%v is %T", path, value)
	}
	return typed
}

// checkSARIF checks what the schema of SARIF 2.1.0 and GitHub require.
func checkSARIF(t *testing.T, log any) {
	t.Helper()
	if version := at[string](t, log, "version"); version != "2.1.0" {
		t.Errorf("version %q", version)
	}
	run := at[map[string]any](t, log, "runs", 0)
	if at[string](t, run, "tool", "driver", "name") == "" || at[string](t, run, "columnKind") != "unicodeCodePoints" {
		t.Errorf("%v", run["columnKind"])
	}
	rule := at[map[string]any](t, run, "tool", "driver", "rules", 0)
	for _, field := range []string{"shortDescription", "fullDescription", "help"} { // required by GitHub
		if at[string](t, rule, field, "text") == "" {
			t.Errorf("the rule's %s is empty", field)
		}
	}
	if severity := at[string](t, rule, "properties", "security-severity"); severity != "9.0" {
		t.Errorf("security-severity %q", severity)
	}
	invocation := at[map[string]any](t, run, "invocations", 0)
	at[bool](t, invocation, "executionSuccessful")
	for i := range at[[]any](t, invocation, "toolExecutionNotifications") {
		if at[string](t, invocation, "toolExecutionNotifications", i, "message", "text") == "" {
			t.Errorf("notification %d has no text", i)
		}
	}
	for i, result := range at[[]any](t, run, "results") {
		if at[string](t, result, "ruleId") != at[string](t, rule, "id") || at[string](t, result, "message", "text") == "" {
			t.Errorf("result %d: %v", i, result)
		}
		if !slices.Contains([]string{"none", "note", "warning", "error"}, at[string](t, result, "level")) {
			t.Errorf("result %d: level %v", i, at[string](t, result, "level"))
		}
		location := at[map[string]any](t, result, "locations", 0, "physicalLocation")
		uri := at[string](t, location, "artifactLocation", "uri")
		if parsed, err := url.Parse(uri); err != nil || uri == "" || parsed.Scheme != "" {
			t.Errorf("result %d: uri %q, %v", i, uri, err)
		}
		if at[float64](t, location, "region", "startLine") < 1 || at[float64](t, location, "region", "startColumn") < 1 {
			t.Errorf("result %d: region %v", i, location["region"])
		}
		for name := range at[map[string]any](t, result, "partialFingerprints") {
			at[string](t, result, "partialFingerprints", name)
		}
	}
}

func TestSARIF(t *testing.T) {
	parts := apikey.Parts{Brand: "acme", Environment: "live", ID: "1OOivdDZfQCU"}
	findings := []Finding{
		{Parts: parts, Kind: File, Path: "a file#1.env", Line: 3, Column: 5},
		{Parts: parts, Kind: Stdin, Line: 1, Column: 1},
		{Parts: parts, Kind: CommitMessage, Commit: "c0ffee", Line: 6, Column: 1},
		{Parts: parts, Kind: TagMessage, Commit: "c0ffee", Line: 6, Column: 1},
		{Parts: parts, Kind: Blob, Commit: "c0ffee", Line: 1, Column: 1},
	}
	text, log := sarifOf(t, Result{Findings: findings})
	checkSARIF(t, log)
	for _, want := range []string{
		`"uri":"a%20file%231.env"},"region":{"startColumn":5,"startLine":3}`, `"uri":"stdin"`, `"uri":"git/commit-message/c0ffee"`, `"uri":"git/tag-message/c0ffee"`, `"uri":"git/blob/c0ffee"`,
		`"name":"fob"`, `"version":"1.2.3"`, `"message":{"text":"acme_live_1OOivdDZfQCU_…"},"partialFingerprints":{"keyId":"1OOivdDZfQCU"}`,
		`{"level":"error",`, `{"level":"warning",`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	text, log = sarifOf(t, Result{Unread: []Unread{{"a", ErrNoContent}}, Submodules: []string{"sub"}})
	checkSARIF(t, log)
	if !strings.Contains(string(text), `"results":[]`) {
		t.Errorf("without findings, results is not a list: %s", text)
	}
	if at[bool](t, log, "runs", 0, "invocations", 0, "executionSuccessful") {
		t.Error("a scan that lacks a file is successful")
	}
	const path = "toolExecutionNotifications"
	for i, want := range []string{"not scanned: a: its Git LFS content is missing", "not scanned: submodule sub"} {
		if got := at[string](t, log, "runs", 0, "invocations", 0, path, i, "message", "text"); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
