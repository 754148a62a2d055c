package credhelper

import (
	"bytes"
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/secret"
)

const stsAnswer = `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>ada</SubjectFromWebIdentityToken>
    <Credentials>
      <SessionToken>session/token+==</SessionToken>
      <SecretAccessKey>secret/key</SecretAccessKey>
      <Expiration>2026-11-24T12:00:00Z</Expiration>
      <AccessKeyId>ASIAEXAMPLE</AccessKeyId>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
  <ResponseMetadata><RequestId>x</RequestId></ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>`

var role = WebIdentity{RoleARN: "arn:aws:iam::123456789012:role/team/deploy", SessionName: "fob-work", Token: secret.New("the.web.token")}

func TestAWS(t *testing.T) {
	if err := role.Check(); err != nil {
		t.Error(err)
	}
	longer := role
	longer.Duration = time.Hour
	want := url.Values{"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {role.RoleARN},
		"RoleSessionName": {"fob-work"}, "WebIdentityToken": {"the.web.token"}, "DurationSeconds": {"3600"}}
	if got := longer.Form(); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	credentials, end, err := role.ReadSTS(200, []byte(stsAnswer))
	if err != nil || !end.Equal(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)) {
		t.Fatalf("%v, %v", end, err)
	}
	var out bytes.Buffer
	if err := WriteAWS(&out, credentials); err != nil || out.String() != `{"Version":1,"AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"secret/key","SessionToken":"session/token+==","Expiration":"2026-11-24T12:00:00Z"}`+"\n" {
		t.Errorf("%v, %s", err, out.String())
	}
}

func TestAWSRegions(t *testing.T) {
	in := func(partition string) WebIdentity {
		return WebIdentity{RoleARN: strings.Replace(role.RoleARN, ":aws:", ":"+partition+":", 1)}
	}
	for _, row := range []struct{ partition, region, want string }{
		{"aws", "eu-central-1", "https://sts.eu-central-1.amazonaws.com/"},
		{"aws", "", "https://sts.us-east-1.amazonaws.com/"},
		{"aws-cn", "cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn/"},
		{"aws-us-gov", "us-gov-west-1", "https://sts.us-gov-west-1.amazonaws.com/"},
		{"aws-cn", "", ""}, {"aws", "evil.test/", ""}, {"aws", "x@evil.test", ""}, {"aws", "evil.test#", ""}, {"aws", "a\nb", ""},
	} {
		if got, err := in(row.partition).Endpoint(row.region); got != row.want || (err == nil) != (row.want != "") {
			t.Errorf("%s, %q: %s, %v", row.partition, row.region, got, err)
		}
	}
}

func TestH62RolesThatAreRefused(t *testing.T) {
	for _, arn := range []string{
		"", "deploy", "arn:aws:iam::123456789012:user/ada", "arn:aws:iam::123456789012:role/", "arn:aws:iam::12345:role/x", "arn:aws:iam::12345678901x:role/x",
		"arn:evil:iam::123456789012:role/x", "arn:aws:sts::123456789012:role/x", "arn:aws:iam:eu:123456789012:role/x", "arn:aws:iam::123456789012:role/x\n", "arn:aws:iam::123456789012:role/x y",
		"arn:aws:iam::123456789012:role/" + strings.Repeat("x", maxRoleARN),
	} {
		if err := (WebIdentity{RoleARN: arn, SessionName: "fob"}).Check(); err == nil {
			t.Errorf("%q is taken", arn)
		}
	}
	for _, name := range []string{"", "x", "a b", "a\nb", "a/b", "\u00e9\u00e9", strings.Repeat("x", 65)} {
		if err := (WebIdentity{RoleARN: role.RoleARN, SessionName: name}).Check(); err == nil {
			t.Errorf("a session %q is taken", name)
		}
	}
	for _, wrong := range []time.Duration{time.Minute, 13 * time.Hour, -time.Hour, time.Hour + time.Millisecond} {
		if err := (WebIdentity{RoleARN: role.RoleARN, SessionName: "fob", Duration: wrong}).Check(); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
}

func TestAWSAnswersThatAreNoCredentials(t *testing.T) {
	for name, answer := range map[string]string{
		"empty":      "",
		"no XML":     "{}",
		"cut off":    stsAnswer[:len(stsAnswer)-20],
		"no token":   strings.Replace(stsAnswer, "session/token+==", "", 1),
		"no key":     strings.Replace(stsAnswer, "<AccessKeyId>ASIAEXAMPLE</AccessKeyId>", "", 1),
		"no end":     strings.Replace(stsAnswer, "<Expiration>2026-11-24T12:00:00Z</Expiration>", "", 1),
		"end is odd": strings.Replace(stsAnswer, "2026-11-24T12:00:00Z", "soon", 1),
		"two lines":  strings.Replace(stsAnswer, "secret/key", "secret&#10;key", 1),
		"other":      strings.ReplaceAll(stsAnswer, "AssumeRoleWithWebIdentityResult", "AssumeRoleResult"),
	} {
		if credentials, _, err := role.ReadSTS(200, []byte(answer)); err == nil || !credentials.IsZero() {
			t.Errorf("%s: %q", name, credentials.Reveal())
		}
	}
}

func TestAWSErrorsAreInertAndWithoutTheToken(t *testing.T) {
	body := `<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code><Message>the.web.token is &amp;not&quot; ` + "\u0085[31m good\n" + `</Message></Error></ErrorResponse>`
	_, _, err := role.ReadSTS(400, []byte(body))
	var refused *STSError
	if !errors.As(err, &refused) || refused.Code != "InvalidIdentityToken" || err.Error() != `AWS answered 400: InvalidIdentityToken: *** is &not" [31m good` {
		t.Errorf("%v", err)
	}
	if _, _, err := role.ReadSTS(400, []byte("<E><Error><Message>the.\u200bweb.\u200btoken</Message></Error></E>")); strings.Contains(err.Error(), "token") {
		t.Errorf("%v", err)
	}
	body = strings.Replace(body, "the.", "&#116;he.", 1)
	if _, _, err := role.ReadSTS(400, []byte(body)); err.Error() != "AWS answered 400: InvalidIdentityToken" {
		t.Errorf("%v", err)
	}
	if _, _, err := role.ReadSTS(503, []byte("<html>")); err == nil || err.Error() != "AWS answered 503" {
		t.Errorf("%v", err)
	}
}

func FuzzAWS(f *testing.F) {
	f.Add(200, stsAnswer)
	f.Add(400, `<ErrorResponse><Error><Code>x</Code><Message>the.web.token</Message></Error></ErrorResponse>`)
	f.Fuzz(func(t *testing.T, status int, answer string) {
		credentials, end, err := role.ReadSTS(status, []byte(answer))
		if err != nil {
			if !credentials.IsZero() || strings.ContainsFunc(err.Error(), isControl) || strings.Contains(err.Error(), "the.web.token") {
				t.Errorf("%q", err)
			}
			return
		}
		var out bytes.Buffer
		if err := WriteAWS(&out, credentials); err != nil || strings.Count(out.String(), "\n") != 1 || end.IsZero() {
			t.Errorf("%q, %v", out.String(), err)
		}
	})
}

func TestSessionName(t *testing.T) {
	for profile, want := range map[string]string{"work": "fob-work", strings.Repeat("x", 99): "fob-" + strings.Repeat("x", 60)} {
		if got := SessionName(profile); got != want {
			t.Errorf("%q: %q", profile, got)
		}
	}
}
