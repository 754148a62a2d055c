package secret

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "canary-value"

// holder has a secret in every kind of field. fmt calls the methods of those in
// exported fields alone.
type holder struct {
	Secret  Secret
	Ptr     *Secret
	List    []Secret
	Map     map[string]Secret
	private Secret
	list    []Secret
	ptr     *Secret
}

func newHolder() holder {
	s := New(canary)
	return holder{s, &s, []Secret{s}, map[string]Secret{"k": s}, s, []Secret{s}, &s}
}

func checkHidden(t *testing.T, how, text string) {
	t.Helper()
	for _, form := range []string{canary, hex.EncodeToString([]byte(canary)), fmt.Sprintf("%X", canary), fmt.Sprintf("%d", []byte(canary))} {
		if strings.Contains(text, form) {
			t.Errorf("%s shows the secret: %s", how, text)
		}
	}
}

func TestFmtShowsNoSecret(t *testing.T) {
	h := newHolder()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "% X", "%d", "%10s", "%T", "%p", "%t"} {
		for name, value := range map[string]any{
			"alone": h.Secret, "pointer": h.Ptr, "list": h.List, "struct": h, "pointer to struct": &h, "any": []any{h},
		} {
			checkHidden(t, verb+" "+name, fmt.Sprintf(verb, value))
		}
	}
	checkHidden(t, "an error", fmt.Errorf("token %v: %+v", h.Secret, h).Error())
	want := strings.Join([]string{redacted, redacted, redacted}, " ")
	if got := fmt.Sprintf("%v %s %#v", h.Secret, h.Secret, h.Secret); got != want {
		t.Errorf("the redaction is not said: %s", got)
	}
}

func TestEncodersShowNoSecret(t *testing.T) {
	h := newHolder()
	asJSON, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	checkHidden(t, "JSON", string(asJSON))
	if !strings.Contains(string(asJSON), `"Secret":"`+redacted+`"`) {
		t.Errorf("the redaction is not said: %s", asJSON)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", h.Secret, "holder", h, "pointer", &h)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", h.Secret, "holder", h, "pointer", &h)
	checkHidden(t, "slog", log.String())
	if strings.Count(log.String(), redacted) < 2 {
		t.Errorf("the redaction is not said: %s", log.String())
	}
}

func TestEqualByText(t *testing.T) {
	if New(canary) != New(strings.Clone(canary)) || New(canary) == New("other") {
		t.Error("secrets do not compare by their text")
	}
}

func TestReveal(t *testing.T) {
	if got := New(canary).Reveal(); got != canary {
		t.Errorf("Reveal() = %q", got)
	}
	if got := (Secret{}).Reveal(); got != "" {
		t.Errorf("the zero value reveals %q", got)
	}
	if !(Secret{}).IsZero() || !New("").IsZero() || New(canary).IsZero() {
		t.Error("IsZero is wrong")
	}
}
