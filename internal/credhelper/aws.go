package credhelper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// WebIdentity requests the credentials of a role from AWS's Security Token Service
// (AssumeRoleWithWebIdentity). The request is authenticated by the token and not signed.
type WebIdentity struct {
	RoleARN     string
	SessionName string        // appears in AWS's logs
	Duration    time.Duration // 0: the service's default
	Token       secret.Secret
}

// Limits of the service.
const (
	minRoleDuration = 15 * time.Minute
	maxRoleDuration = 12 * time.Hour
	maxSessionName  = 64
	maxRoleARN      = 2048
	accountDigits   = 12
)

// SessionName returns a profile's name in AWS's logs.
func SessionName(profile string) string {
	name := "fob-" + profile
	return name[:min(len(name), maxSessionName)]
}

// Check rejects what the service would reject.
func (r WebIdentity) Check() error {
	parts := strings.SplitN(r.RoleARN, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || suffixOf(parts[1]) == "" || parts[2] != "iam" || parts[3] != "" ||
		len(parts[4]) != accountDigits || strings.Trim(parts[4], "0123456789") != "" ||
		!strings.HasPrefix(parts[5], "role/") || parts[5] == "role/" || len(r.RoleARN) > maxRoleARN || !sanitize.IsVisibleASCII(r.RoleARN) {
		return fmt.Errorf("%q is not the ARN of a role", sanitize.Line(r.RoleARN))
	}
	if len(r.SessionName) < 2 || len(r.SessionName) > maxSessionName || strings.Trim(r.SessionName, sessionNameLetters) != "" {
		return fmt.Errorf("invalid session name %q: use 2 to %d of a-z, A-Z, 0-9 and _+=,.@-", sanitize.Line(r.SessionName), maxSessionName)
	}
	if r.Duration != 0 && (r.Duration < minRoleDuration || r.Duration > maxRoleDuration || r.Duration%time.Second != 0) {
		return fmt.Errorf("a role cannot be had for %s: 15m to 12h", r.Duration)
	}
	return nil
}

const sessionNameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+=,.@-"

// suffixOf returns the domain of an AWS partition, or "".
func suffixOf(partition string) string {
	return map[string]string{
		"aws": "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn",
	}[partition]
}

// Endpoint returns the service's URL in a region. Without a region it is the partition's
// default, or an error if that is unknown.
func (r WebIdentity) Endpoint(region string) (string, error) {
	partition := strings.SplitN(r.RoleARN, ":", 3)[1]
	if region == "" && partition == "aws" {
		region = "us-east-1"
	}
	if region == "" || strings.Trim(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return "", fmt.Errorf("%q is not a region of the partition %s", sanitize.Line(region), partition)
	}
	return "https://sts." + region + "." + suffixOf(partition) + "/", nil
}

// Form returns the body of the request.
func (r WebIdentity) Form() url.Values {
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
		"RoleArn": {r.RoleARN}, "RoleSessionName": {r.SessionName}, "WebIdentityToken": {r.Token.Reveal()},
	}
	if r.Duration != 0 {
		form.Set("DurationSeconds", strconv.Itoa(int(r.Duration/time.Second)))
	}
	return form
}

// STSError is an error response of the service.
type STSError struct {
	Status        int
	Code, Message string // inert, without the token
}

func (e *STSError) Error() string {
	text := "AWS answered " + strconv.Itoa(e.Status)
	for _, more := range []string{e.Code, e.Message} {
		if more != "" {
			text += ": " + more
		}
	}
	return text
}

// errAnswer is a success response without usable credentials.
var errAnswer = errors.New("AWS's response has no credentials")

// awsCredentials is the output of a credential_process, as printed and cached.
type awsCredentials struct {
	Version         int
	AccessKeyId     string //nolint:revive // the key's name in the protocol
	SecretAccessKey string
	SessionToken    string
	Expiration      time.Time
}

// ReadSTS parses the service's response: credentials for WriteAWS, and when they expire.
func (r WebIdentity) ReadSTS(status int, body []byte) (secret.Secret, time.Time, error) {
	text := string(body)
	if status != http.StatusOK {
		token := r.Token.Reveal()
		return secret.Secret{}, time.Time{}, &STSError{status, sanitize.RedactLine(element(text, "Error", "Code"), token), sanitize.RedactLine(element(text, "Error", "Message"), token)}
	}
	of := func(name string) string {
		return element(text, "AssumeRoleWithWebIdentityResult", "Credentials", name)
	}
	expires, err := time.Parse(time.RFC3339, of("Expiration"))
	c := awsCredentials{1, of("AccessKeyId"), of("SecretAccessKey"), of("SessionToken"), expires.UTC().Truncate(time.Second)}
	for _, part := range []string{c.AccessKeyId, c.SecretAccessKey, c.SessionToken} {
		if !sanitize.IsVisibleASCII(part) {
			err = errAnswer
		}
	}
	if err != nil || !strings.HasSuffix(strings.TrimSpace(text), "</AssumeRoleWithWebIdentityResponse>") {
		return secret.Secret{}, time.Time{}, errAnswer
	}
	printed, err := json.Marshal(c)
	return secret.New(string(printed)), c.Expiration, err
}

// element returns the text at a path of XML elements, or "" if that has unusual escapes. The
// elements that fob reads have no attributes, so that encoding/xml, which takes memory at
// every start, is not needed.
func element(text string, path ...string) string {
	found := false
	for _, name := range path {
		_, text, _ = strings.Cut(text, "<"+name+">")
		text, _, found = strings.Cut(text, "</"+name+">")
	}
	text = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&#34;", `"`, "&apos;", "'", "&#39;", "'", "&amp;", "&").Replace(text)
	if !found || strings.Contains(text, "&#") {
		return ""
	}
	return text
}

// WriteAWS prints credentials in the format of a credential_process.
func WriteAWS(w io.Writer, credentials secret.Secret) error {
	_, err := io.WriteString(w, credentials.Reveal()+"\n")
	return err
}
