package ci

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestH61ClaimsOfAJobAreInert(t *testing.T) {
	const hostile = "a\x1b]52;c;ZXZpbA==\a\r\nb\u202e\u009b31m"
	claims := map[string]any{
		"iss": hostile, "sub": hostile, "aud": []any{hostile, json.Number("1"), map[string]any{hostile: hostile}}, "repository": hostile, "ref": strings.Repeat(hostile, 1000),
		"environment": hostile, "job_workflow_ref": hostile, "exp": json.Number("1e300"),
	}
	id := newIdentityClaims(claims)
	for _, text := range append([]string{id.Issuer, id.Subject, id.Repository, id.Ref, id.Environment, id.Workflow}, id.Audience...) {
		if text == "" || strings.ContainsAny(text, "\x1b\a\r\n\u202e\u009b") || len(text) > 1000 {
			t.Errorf("%q is shown", text)
		}
	}
	if !id.ExpiresAt.IsZero() {
		t.Errorf("a time out of all bounds is %s", id.ExpiresAt)
	}
	if id := newIdentityClaims(map[string]any{"iss": 1, "aud": nil, "project_path": "acme/app", "ci_config_ref_uri": "w"}); id.Issuer != "" || id.Repository != "acme/app" || id.Workflow != "w" {
		t.Errorf("%+v", id)
	}
}
