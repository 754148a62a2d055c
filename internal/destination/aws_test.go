package destination

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/secret"
)

// awsDouble is Secrets Manager with one secret, shop/prod. The signature is checked in
// testdata/e2e, where AWS's own program asks such a double, too.
type awsDouble struct {
	current, written awsDoubled
	exists           bool
	between          []string // what others write before the next writes
	refusal          string   // the code that it answers with
	refusals         int      // so many times
	asked            []string
}

type awsDoubled struct{ id, text string }

func (d *awsDouble) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		SecretID                                           string `json:"SecretId"`
		Name, SecretString, ClientRequestToken             string
		VersionStage, MoveToVersionID, RemoveFromVersionID string
		VersionStages                                      []string
	}
	body, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(body, &in)
	action := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "secretsmanager.")
	d.asked = append(d.asked, action)
	refuse := func(code, message string) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":"%s","Message":"%s"}`, code, message)
	}
	if name := in.SecretID + in.Name; name != "shop/prod" {
		refuse("ValidationException", "unexpected "+name)
		return
	}
	if d.refusals > 0 {
		d.refusals--
		refuse(d.refusal, "it says canary-secret and canary-session")
		return
	}
	if action != "GetSecretValue" && len(d.between) > 0 {
		d.exists = true
		d.current = awsDoubled{fmt.Sprint("other-", len(d.between)), d.between[0]}
		d.between = d.between[1:]
	}
	switch {
	case action == "CreateSecret" && d.exists:
		refuse("ResourceExistsException", "The operation failed because the secret shop/prod already exists.")
	case action == "PutSecretValue" && !d.exists:
		refuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	case action == "GetSecretValue" && d.current.id == "":
		refuse("com.amazon.coral#ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT")
	case action == "GetSecretValue":
		_ = json.NewEncoder(w).Encode(map[string]string{"VersionId": d.current.id, "SecretString": d.current.text})
	case action == "UpdateSecretVersionStage" && (in.RemoveFromVersionID != d.current.id || in.MoveToVersionID != d.written.id || in.VersionStage != "AWSCURRENT"):
		refuse("InvalidParameterException", "The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version "+d.current.id)
	case action == "UpdateSecretVersionStage":
		d.current = d.written
		_, _ = io.WriteString(w, "{}")
	default:
		d.written = awsDoubled{in.ClientRequestToken, in.SecretString}
		if d.current.id == "" || len(in.VersionStages) == 0 {
			d.current = d.written
		}
		d.exists = true
		fmt.Fprintf(w, `{"VersionId":"%s"}`, d.written.id)
	}
}

func awsMachine(t *testing.T, d http.Handler) Machine {
	return platform(t, awsScheme, map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "canary-secret", "AWS_SESSION_TOKEN": "canary-session", "AWS_REGION": "eu-west-1",
	}, d.ServeHTTP)
}

func TestAWS(t *testing.T) {
	v := func(text string) awsDoubled { return awsDoubled{"before", text} }
	for name, c := range map[string]struct {
		double awsDouble
		want   string
	}{
		"none before":               {awsDouble{}, `{"KEY":"v"}`},
		"a secret without a value":  {awsDouble{exists: true}, `{"KEY":"v"}`},
		"beside others":             {awsDouble{exists: true, current: v(`{"z":1.0,"KEY":"old","n":9007199254740993}`)}, `{"KEY":"v","n":9007199254740993,"z":1.0}`},
		"it is there already":       {awsDouble{exists: true, current: v(`{"KEY":"v"}`)}, `{"KEY":"v"}`},
		"another makes it first":    {awsDouble{between: []string{`{"A":"1"}`}}, `{"A":"1","KEY":"v"}`},
		"one writes in between":     {awsDouble{exists: true, current: v(`{}`), between: []string{`{"A":"1"}`}}, `{"A":"1","KEY":"v"}`},
		"one writes the same value": {awsDouble{exists: true, current: v(`{}`), between: []string{`{"A":"1","KEY":"v"}`}}, `{"A":"1","KEY":"v"}`},
		"two write in between":      {awsDouble{exists: true, current: v(`{}`), between: []string{`{"A":"1"}`, `{"A":"1","B":"2"}`}}, `{"A":"1","B":"2","KEY":"v"}`},
		"it is asked too fast":      {awsDouble{exists: true, current: v(`{}`), refusal: "ThrottlingException", refusals: 2}, `{"KEY":"v"}`},
	} {
		t.Run(name, func(t *testing.T) {
			d := c.double
			if err := deliver(t, awsMachine(t, &d), "aws-secretsmanager:shop/prod#KEY", "v"); err != nil || d.current.text != c.want {
				t.Errorf("%v, %s, %v", err, d.current.text, d.asked)
			}
		})
	}
}

func TestAWSRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		double awsDouble
		to     string
		want   string
	}{
		"no object":           {awsDouble{exists: true, current: awsDoubled{"1", "canary-text"}}, "shop/prod", "not a JSON object"},
		"a wrong key":         {awsDouble{refusal: "UnrecognizedClientException", refusals: 1}, "shop/prod", "it says *** and ***"},
		"may not":             {awsDouble{refusal: "AccessDeniedException", refusals: 1}, "shop/prod", "answered 400"},
		"always too fast":     {awsDouble{refusal: "ThrottlingException", refusals: 9}, "shop/prod", "answered 400"},
		"others all the time": {awsDouble{exists: true, current: awsDoubled{"1", "{}"}, between: slices.Repeat([]string{"{}"}, 100)}, "shop/prod", "AWSCURRENT is currently attached"},
	} {
		d := c.double
		err := deliver(t, awsMachine(t, &d), "aws-secretsmanager:"+c.to+"#KEY", "v")
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := awsMachine(t, &awsDouble{})
	m.Credential = chooses(awsScheme, "token")
	var setup *SetupError
	if err := deliver(t, m, "aws-secretsmanager:shop/prod#KEY", "v"); !errors.As(err, &setup) || !strings.Contains(err.Error(), "--as is not for it") {
		t.Error(err)
	}
	for _, value := range []string{"", strings.Repeat("x", 65537), "\xff"} {
		if err := deliver(t, m, "aws-secretsmanager:shop/prod#KEY", value); !errors.Is(err, ErrValue) {
			t.Error(err)
		}
	}
}

func TestAWSNames(t *testing.T) {
	environ := map[string]string{"AWS_REGION": "eu-west-1"}
	m := machine(t)
	m.Getenv = func(name string) string { return environ[name] }
	for _, name := range []string{"a b", "a:b", "", "a?b", "ü", strings.Repeat("n", 513), "arn:aws:secretsmanager:eu-west-1:666:secret:a-b1C2d3"} {
		if _, err := Parse("aws-secretsmanager:"+name+"#KEY", m); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	for region, want := range map[string]string{
		"eu-west-1":  "https://secretsmanager.eu-west-1.amazonaws.com",
		"cn-north-1": "https://secretsmanager.cn-north-1.amazonaws.com.cn",
	} {
		environ["AWS_REGION"] = region
		d, err := Parse("aws-secretsmanager:shop/prod#KEY", m)
		if err != nil || d.(*awsField).base != want {
			t.Errorf("%s: %v, %v", region, d, err)
		}
	}
	for _, region := range []string{"", "evil.test/", "a@b", "eu\x1b"} {
		environ["AWS_REGION"] = region
		if _, err := Parse("aws-secretsmanager:a#KEY", m); err == nil || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: %v", region, err)
		}
	}
}

func TestAWSProfiles(t *testing.T) {
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, ".aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"config":      "[default]\nregion = eu-west-1\n# region = no\ns3 =\n  region = no\n[profile  work]\r\nregion=us-east-2\r\n[profile sso]\nregion=a\nsso_session = x\n",
		"credentials": "[default]\naws_access_key_id = A\naws_secret_access_key = S=+/\n[work]\naws_access_key_id=B\nAWS_SECRET_ACCESS_KEY=T\naws_session_token=U\n",
	} {
		if err := os.WriteFile(filepath.Join(home, ".aws", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for profile, want := range map[string]string{"": "eu-west-1 A S=+/ ", "work": "us-east-2 B T U", "sso": "no key of its own", "none": "no AWS region is configured"} {
		m := machine(t)
		m.Getenv = func(name string) string { return map[string]string{"HOME": home, "AWS_PROFILE": profile}[name] }
		got := ""
		d, err := Parse("aws-secretsmanager:a#KEY", m)
		if err == nil {
			var key awsKey
			key, err = d.(*awsField).key(t.Context())
			got = strings.Join([]string{d.(*awsField).region, key.id, key.secret.Reveal(), key.access.Reveal()}, " ")
		}
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s", profile, got)
		}
	}
	m := machine(t)
	m.Getenv = func(name string) string { return map[string]string{"AWS_REGION": "a"}[name] }
	d, err := Parse("aws-secretsmanager:a#KEY", m)
	if err == nil {
		err = d.Deliver(t.Context(), secret.New("v"))
	}
	if !errors.Is(err, ErrNoCredential) {
		t.Error(err)
	}
}
