package cmd

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/ci"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/secret"
)

func TestI71_OnlyWhatWasMadeForTheServerIsSent(t *testing.T) {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	jwt := func(claims string) string {
		return part(`{"alg":"RS256"}`) + "." + part(claims) + "." + part("signature")
	}
	const issuer, audience = "https://sso.example.com", "api://fob"
	with := config.Profile{Name: "ci", Issuer: issuer, IdentityAudience: audience}
	without := config.Profile{Name: "ci", Issuer: issuer}
	endpoint := config.Profile{Name: "ci", TokenEndpoint: issuer}
	for _, test := range []struct {
		p     config.Profile
		token string
		want  error
	}{
		{without, jwt(`{"aud":"https://sso.example.com"}`), nil},
		{endpoint, jwt(`{"aud":"https://sso.example.com"}`), nil},
		{with, jwt(`{"aud":"https://sso.example.com"}`), nil},
		{with, jwt(`{"aud":"api://fob"}`), nil},
		{with, jwt(`{"aud":["other","api://fob"]}`), nil},
		{without, jwt(`{"aud":"api://fob"}`), ci.ErrAudience},
		{without, jwt(`{"aud":"https://sso.example.com/"}`), ci.ErrAudience},
		{without, jwt(`{"aud":"https://SSO.example.com"}`), ci.ErrAudience},
		{without, jwt(`{"aud":["https://vault.example.com"]}`), ci.ErrAudience},
		{without, jwt(`{"aud":[]}`), ci.ErrAudience},
		{without, jwt(`{"aud":""}`), ci.ErrAudience},
		{without, jwt(`{"aud":[""]}`), ci.ErrAudience},
		{without, jwt(`{"aud":null}`), ci.ErrAudience},
		{without, jwt(`{"aud":[null,1,{"https://sso.example.com":1},["https://sso.example.com"]]}`), ci.ErrAudience},
		{without, jwt(`{"aud":{"https://sso.example.com":1}}`), ci.ErrAudience},
		{without, jwt(`{}`), ci.ErrAudience},
		{without, "AKIAIOSFODNN7EXAMPLE", ci.ErrMalformed},
		{without, "a.b.c", ci.ErrMalformed},
		{without, jwt(`"https://sso.example.com"`), ci.ErrMalformed},
		{without, strings.Repeat(".", 1000), ci.ErrMalformed},
	} {
		err := app.CheckAudience(secret.New(test.token), test.p)
		if !errors.Is(err, test.want) || test.want == nil && err != nil {
			t.Errorf("%s, %+v: %v", test.token, test.p, err)
		}
		if err != nil && strings.Contains(err.Error(), test.token) {
			t.Errorf("the error shows %s", test.token)
		}
	}
}
