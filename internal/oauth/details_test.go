package oauth

import (
	"net/url"
	"testing"
)

func TestParseDetails(t *testing.T) {
	const want = `[{"type":"payment_initiation","amount":"1"}]`
	if got, err := ParseDetails([]byte(" [ {\"type\": \"payment_initiation\",\n \"amount\": \"1\"} ]\n")); got != want || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	for _, text := range []string{"", "{}", "[]", "null", `["x"]`, `[{}]`, `[{"type":""}]`, `[{"type":1}]`, `[{"type":"x"}] []`} {
		if got, err := ParseDetails([]byte(text)); err == nil {
			t.Errorf("%q is accepted as %s", text, got)
		}
	}
	params := AuthorizationParams{Details: want}
	if params.form().Get("authorization_details") != want || params.Target().form(url.Values{}).Get("authorization_details") != want {
		t.Error("authorization_details are not sent")
	}
}
