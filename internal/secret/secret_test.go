package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "canary-value"

func TestRedactsItself(t *testing.T) {
	s := New(canary)
	nested := struct {
		Secret Secret
		Ptr    *Secret
		List   []Secret
	}{s, &s, []Secret{s}}
	shown := map[string]string{"errorf": fmt.Errorf("token %v", s).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s", "%T"} {
		shown[verb] = fmt.Sprintf(verb, s)
		shown["nested "+verb] = fmt.Sprintf(verb, nested)
	}
	asJSON, err := json.Marshal(nested)
	if err != nil {
		t.Fatal(err)
	}
	shown["json"] = string(asJSON)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "nested", nested)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "nested", nested)
	shown["slog"] = log.String()
	for how, text := range shown {
		if strings.Contains(text, canary) || strings.Contains(text, fmt.Sprintf("%x", canary)) {
			t.Errorf("%s shows the secret: %s", how, text)
		}
	}
	if !strings.Contains(shown["%v"], redacted) || !strings.Contains(shown["json"], redacted) {
		t.Errorf("the redaction is not said: %q, %q", shown["%v"], shown["json"])
	}
}

func TestReveal(t *testing.T) {
	if got := New(canary).Reveal(); got != canary {
		t.Errorf("Reveal() = %q", got)
	}
	if !(Secret{}).IsZero() || New(canary).IsZero() {
		t.Error("IsZero is wrong")
	}
}
