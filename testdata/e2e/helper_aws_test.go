package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// stsDouble is AWS's Security Token Service as far as it is needed: it gives a role's
// credentials for a token that it knows, and answers who signs with them.
type stsDouble struct {
	*httptest.Server
	t        *testing.T
	lifetime time.Duration
	known    func(token string) bool

	mu      sync.Mutex // guards what follows
	secrets map[string]string
	asked   int
}

func startSTS(t *testing.T, lifetime time.Duration, known func(string) bool) *stsDouble {
	t.Helper()
	s := &stsDouble{t: t, lifetime: lifetime, known: known, secrets: map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *stsDouble) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	_ = r.ParseForm()
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "text/xml")
	switch r.Form.Get("Action") {
	case "AssumeRoleWithWebIdentity":
		s.asked++
		if r.Header.Get("Authorization") != "" || r.Form.Get("RoleArn") != roleARN || r.Form.Get("Version") != "2011-06-15" || !s.known(r.Form.Get("WebIdentityToken")) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code><Message>Couldn't verify %s</Message></Error></ErrorResponse>`, r.Form.Get("WebIdentityToken"))
			return
		}
		id, key := fmt.Sprintf("ASIA%d", s.asked), fmt.Sprintf("secret/%d", s.asked)
		s.secrets[id] = key
		fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>session-of-%s</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
			id, key, id, time.Now().Add(s.lifetime).UTC().Format(time.RFC3339))
	case "GetCallerIdentity":
		id, err := s.signer(r, body)
		if err != nil {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>%s</Message></Error></ErrorResponse>`, err)
			return
		}
		fmt.Fprintf(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/deploy/%s</Arn><UserId>x</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`, id)
	default:
		w.WriteHeader(http.StatusBadRequest)
	}
}

// signer checks the signature of a request (AWS Signature Version 4).
func (s *stsDouble) signer(r *http.Request, body []byte) (id string, err error) {
	var credential, signed, signature string
	for part := range strings.SplitSeq(strings.TrimPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 "), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			signed = value
		case "Signature":
			signature = value
		}
	}
	scope := strings.Split(credential, "/")
	if len(scope) != 5 || s.secrets[scope[0]] == "" || r.Header.Get("X-Amz-Security-Token") != "session-of-"+scope[0] {
		return "", fmt.Errorf("unknown credential %q", credential)
	}
	canonical := r.Method + "\n" + r.URL.EscapedPath() + "\n" + r.URL.RawQuery + "\n"
	for name := range strings.SplitSeq(signed, ";") {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		canonical += name + ":" + strings.TrimSpace(value) + "\n"
	}
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	canonical += "\n" + signed + "\n" + hash(string(body))
	key := []byte("AWS4" + s.secrets[scope[0]])
	mac := func(text string) []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	for _, part := range scope[1:] {
		key = mac(part)
	}
	text := "AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + strings.Join(scope[1:], "/") + "\n" + hash(canonical)
	if hex.EncodeToString(mac(text)) != signature {
		return "", fmt.Errorf("wrong signature")
	}
	return scope[0], nil
}

// exchanges is how often credentials were asked for.
func (s *stsDouble) exchanges() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

const roleARN = "arn:aws:iam::123456789012:role/deploy"

// newRoleMachine is logged in at the issuer, and its AWS CLI asks fob.
func newRoleMachine(t *testing.T, i *issuer, sts *stsDouble, args ...string) *machine {
	t.Helper()
	m := newMachineAt(t, sealed...)
	m.loginAt(i)
	config := filepath.Join(m.home, "aws-config")
	text := fmt.Sprintf("[default]\nregion = eu-central-1\ncredential_process = \"%s\" helper aws work --role-arn %s --endpoint %s %s\n", fob, roleARN, sts.URL, strings.Join(args, " "))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m.env = append(m.env, "AWS_CONFIG_FILE="+config, "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "AWS_RETRY_MODE=standard", "AWS_MAX_ATTEMPTS=1")
	return m
}

// whoAmI asks the double with the real AWS CLI.
func (m *machine) whoAmI(sts *stsDouble) (arn, said string) {
	m.t.Helper()
	out, err := m.command("aws", "sts", "get-caller-identity", "--endpoint-url", sts.URL, "--output", "json").CombinedOutput()
	var answer struct{ Arn string }
	if err != nil || json.Unmarshal(out, &answer) != nil {
		return "", string(out)
	}
	return answer.Arn, ""
}

func TestAWSAsksFob(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	var id atomic.Value
	sts := startSTS(t, time.Hour, func(token string) bool { return token == id.Load() })
	m := newRoleMachine(t, i, sts)
	id.Store(strings.TrimSpace(m.ok("token", "work", "--id-token")))

	for range 2 { // once from AWS, once as it was kept
		if arn, said := m.whoAmI(sts); arn != "arn:aws:sts::123456789012:assumed-role/deploy/ASIA1" {
			t.Errorf("%q\n%s", arn, said)
		}
	}
	if n := sts.exchanges(); n != 1 {
		t.Errorf("%d exchanges", n)
	}
	asked := []string{"helper", "aws", "work", "--role-arn", roleARN, "--endpoint", sts.URL}
	if m.ok(append(asked, "--fresh")...); sts.exchanges() != 2 {
		t.Error("--fresh did not ask AWS")
	}
	var wg sync.WaitGroup
	for range 20 { // another session is kept apart, and asked for once
		wg.Go(func() {
			if r := m.fob("", append(slices.Clone(asked), "--session-name", "other")...); r.status != 0 || !strings.Contains(r.stdout, `"ASIA3"`) {
				t.Errorf("%d %s\n%s", r.status, r.stdout, r.stderr)
			}
		})
	}
	if wg.Wait(); sts.exchanges() != 3 {
		t.Errorf("%d exchanges", sts.exchanges())
	}
	kept := filepath.Join(m.home, ".cache", "fob")
	files := 0
	_ = filepath.WalkDir(kept, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files++
			if text := readText(t, path); strings.Contains(text, "ASIA") || strings.Contains(text, "secret/") {
				t.Errorf("%s holds credentials that are not sealed", path)
			}
		}
		return nil
	})
	if files == 0 {
		t.Error("nothing is kept")
	}

	// AWS's refusal repeats the token, and fob does not; the login's end is the credentials'.
	if r := m.fob("", append(asked, "--token", "access")...); r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, "InvalidIdentityToken: Couldn't verify ***") || !strings.Contains(r.stderr, "hint: see the role's trust policy") {
		t.Errorf("%d %q\n%s", r.status, r.stdout, r.stderr)
	}
	m.ok("logout", "work")
	if arn, said := m.whoAmI(sts); arn != "" || !strings.Contains(said, "fob login work") {
		t.Errorf("after logout: %q\n%s", arn, said)
	}
	if r := m.fob("", asked...); r.status != 4 || r.stdout != "" {
		t.Errorf("after logout: %d %q", r.status, r.stdout)
	}
}

// Credentials that end within five minutes are not given out again, with the access
// token as with the id_token.
func TestAWSCredentialsThatEndSoonAreReplaced(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	sts := startSTS(t, 5*time.Minute, func(token string) bool {
		_, err := i.origin(token)
		return err == nil
	})
	m := newRoleMachine(t, i, sts, "--token", "access")
	asked := []string{"helper", "aws", "work", "--role-arn", roleARN, "--endpoint", sts.URL, "--token", "access"}
	first, second := m.ok(asked...), m.ok(asked...)
	if sts.exchanges() != 2 || !strings.Contains(first, `"ASIA1"`) || !strings.Contains(second, `"ASIA2"`) {
		t.Errorf("%d exchanges: %s%s", sts.exchanges(), first, second)
	}
	if arn, said := m.whoAmI(sts); arn == "" { // the CLI asks twice, where so little is left
		t.Error(said)
	}
}
