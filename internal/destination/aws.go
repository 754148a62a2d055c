package destination

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	cryptorand "crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// awsField is a key of a secret in AWS Secrets Manager that is a JSON object, as created by
// its console. Other keys are preserved.
type awsField struct {
	rest
	region string
}

const (
	// maxAWSValue is the maximum size of a secret in Secrets Manager, in bytes.
	maxAWSValue = 65536
	// maxAWSTries bounds the attempts if other writers interfere.
	maxAWSTries = 10
	maxAWSFile  = 1 << 20
	awsScheme   = "aws-secretsmanager"
	awsStage    = "fob" // the label of a version that is not the current one yet
)

func parseAWS(m Machine, p location) (Destination, error) {
	// An ARN could name another account, with a secret that everyone may write to or read.
	// Registries, which others may write to, must not deliver keys there.
	if strings.Trim(strings.ToLower(p.where), "abcdefghijklmnopqrstuvwxyz0123456789/_+=.@-") != "" {
		return nil, p.refuse("a secret's name has letters, digits and /_+=.@-; ARNs are not accepted")
	}
	region := cmp.Or(m.Getenv("AWS_REGION"), m.Getenv("AWS_DEFAULT_REGION"), awsProfile(m)["region"])
	if region == "" {
		return nil, p.lacking("no AWS region is configured", "set AWS_REGION, or 'region' in the AWS profile")
	}
	if strings.Trim(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" { // it becomes part of a host name
		return nil, p.refuse("%q is not a region", sanitize.Line(region))
	}
	domain := ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		domain += ".cn"
	}
	base := cmp.Or(m.URLs[awsScheme], m.Getenv("AWS_ENDPOINT_URL_SECRETS_MANAGER"), m.Getenv("AWS_ENDPOINT_URL"), "https://secretsmanager."+region+domain)
	return &awsField{rest{m, p, limits{platform: "AWS Secrets Manager", most: maxAWSValue}, base}, region}, nil
}

type awsClient struct {
	*api
	request sigV4
	key     awsKey
	name    string // of the secret
}

func (f *awsField) connect(ctx context.Context) (*awsClient, error) {
	key, err := f.key(ctx)
	if err != nil {
		return nil, err
	}
	a, err := newAPI(f.Machine, f.base)
	if err != nil {
		return nil, err
	}
	a.conceal(key.secret)
	a.conceal(key.access)
	base, _ := url.Parse(a.base + "/") // newAPI has parsed it
	request := sigV4{method: http.MethodPost, host: base.Host, path: base.EscapedPath(), region: f.region, service: "secretsmanager"}
	return &awsClient{a, request, key, f.where}, nil
}

type awsVersion struct {
	ID     string  `json:"VersionId"`
	Text   *string `json:"SecretString"`
	fields map[string]json.RawMessage
}

// Deliver adds a version next to the current one, and makes it the current one if that is
// still the one it has read, so that no other writer's key is lost.
func (f *awsField) Deliver(ctx context.Context, value secret.Secret) error {
	c, err := f.connect(ctx)
	if err != nil {
		return err
	}
	c.conceal(value)
	isLate := func(err error) bool {
		return errors.Is(err, errNotCurrent) || awsCode(err) == "InvalidParameterException" // the error if another version is current
	}
	return unlessLate(ctx, maxAWSTries, isLate, func() error { return c.put(ctx, f.field, value) })
}

// errNotCurrent is a first version that is not known to be the current one: there may have
// been another writer.
var errNotCurrent = errors.New("others write to the secret all the time")

func (c *awsClient) put(ctx context.Context, field string, value secret.Secret) error {
	base, err := c.current(ctx)
	if err != nil {
		return err
	}
	fields, changed := setField(base.fields, field, value)
	if !changed {
		return nil
	}
	written, err := c.write(ctx, base.ID, fields)
	if err != nil {
		return err
	}
	if base.ID == "" {
		return errNotCurrent
	}
	in := map[string]any{"SecretId": c.name, "VersionStage": "AWSCURRENT", "MoveToVersionId": written, "RemoveFromVersionId": base.ID}
	return c.call(ctx, "UpdateSecretVersionStage", in, nil)
}

func (c *awsClient) current(ctx context.Context) (awsVersion, error) {
	var v awsVersion
	err := c.call(ctx, "GetSecretValue", map[string]any{"SecretId": c.name, "VersionStage": "AWSCURRENT"}, &v)
	if awsCode(err) == "ResourceNotFoundException" {
		return awsVersion{}, nil
	}
	if err == nil && v.ID == "" {
		err = fmt.Errorf("%w: a version without an id", httpclient.ErrMalformed)
	}
	if err != nil {
		return v, err
	}
	if v.Text == nil || json.Unmarshal([]byte(*v.Text), &v.fields) != nil {
		return v, &SetupError{"the secret is not a JSON object, and fob can add a key only to one", "name another secret; fob makes it where there is none"}
	}
	return v, nil
}

// write creates the secret, or a version next to the current one.
func (c *awsClient) write(ctx context.Context, base string, fields map[string]json.RawMessage) (id string, err error) {
	text, err := json.Marshal(fields)
	if err != nil {
		return "", err
	}
	// AWS ignores repeated calls with the same token. It is visible to people who must not
	// see values, so it must not be a hash of one.
	in := map[string]any{"ClientRequestToken": cryptorand.Text() + cryptorand.Text(), "SecretString": string(text)}
	var out awsVersion
	if base == "" {
		in["Name"] = c.name
		err = c.call(ctx, "CreateSecret", in, &out)
		if awsCode(err) != "ResourceExistsException" {
			return out.ID, err
		}
		delete(in, "Name") // another writer was first, or the secret has no value
	}
	in["SecretId"], in["VersionStages"] = c.name, []string{awsStage}
	err = c.call(ctx, "PutSecretValue", in, &out)
	return out.ID, err
}

// call makes one call. AWS responds 400 to everything that it refuses.
func (c *awsClient) call(ctx context.Context, action string, in map[string]any, out any) error {
	if c.readOnly && action != "GetSecretValue" {
		return errReadOnly
	}
	body, _ := json.Marshal(in) // cannot fail for texts
	const contentType = "application/x-amz-json-1.1"
	one := *c.api
	var err error
	for try := 1; ; try++ {
		one.header = http.Header{"Content-Type": {contentType}, "X-Amz-Target": {"secretsmanager." + action}}
		request := c.request
		request.body = body
		request.sign(one.header, c.key, c.now())
		err = one.send(ctx, request.method, "/", contentType, body, out)
		if awsCode(err) != "ThrottlingException" || try == maxTries || !pause(ctx, time.Duration(try)*500*time.Millisecond) {
			break
		}
	}
	switch awsCode(err) {
	case "AccessDeniedException":
		return &SetupError{err.Error(), "allow it secretsmanager:GetSecretValue, PutSecretValue, UpdateSecretVersionStage and CreateSecret for that secret"}
	case "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "IncompleteSignatureException", "InvalidClientTokenId":
		return &SetupError{err.Error(), "give a key that is good: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN if it has one; see the clock, too"}
	}
	return err
}

func awsCode(err error) string {
	answer, ok := errors.AsType[*AnswerError](err)
	var body struct {
		Type string `json:"__type"`
	}
	if !ok || json.Unmarshal(answer.body, &body) != nil {
		return ""
	}
	return body.Type[strings.LastIndexByte(body.Type, '#')+1:]
}

// key returns the environment's credential, or that of a profile in AWS's own files.
func (f *awsField) key(ctx context.Context) (awsKey, error) {
	chosen, err := f.Credential(ctx, awsScheme)
	if err != nil {
		return awsKey{}, err
	}
	if !chosen.IsZero() {
		return awsKey{}, &SetupError{"AWS takes keys of its own, and no token of a login: --as is not for it", "name the platform that it is for, as in --as github=work, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"}
	}
	from := map[string]string{
		"aws_access_key_id": f.Getenv("AWS_ACCESS_KEY_ID"), "aws_secret_access_key": f.Getenv("AWS_SECRET_ACCESS_KEY"), "aws_session_token": f.Getenv("AWS_SESSION_TOKEN"),
	}
	profile := awsProfile(f.Machine)
	if from["aws_access_key_id"] == "" {
		from = profile
	}
	key := awsKey{from["aws_access_key_id"], secret.New(from["aws_secret_access_key"]), secret.New(from["aws_session_token"])}
	switch {
	case key.id != "" && !key.secret.IsZero():
		return key, nil
	case len(profile) > 0:
		return key, &SetupError{"the AWS profile has no key of its own", `put one into the environment: eval "$(aws configure export-credentials --format env)"`}
	}
	return key, fmt.Errorf("%w: %s needs AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws", ErrNoCredential, awsScheme)
}

func awsProfile(m Machine) map[string]string {
	name := cmp.Or(m.Getenv("AWS_PROFILE"), m.Getenv("AWS_DEFAULT_PROFILE"), "default")
	settings := make(map[string]string)
	home := cmp.Or(m.Getenv("HOME"), m.Getenv("USERPROFILE"))
	section := "profile " + name
	if name == "default" {
		section = name
	}
	for _, file := range []struct{ variable, name, section string }{
		{"AWS_CONFIG_FILE", "config", section},
		{"AWS_SHARED_CREDENTIALS_FILE", "credentials", name},
	} {
		path := m.Getenv(file.variable)
		if path == "" && home == "" {
			continue
		}
		text, err := atomicfile.ReadRegular(cmp.Or(path, filepath.Join(home, ".aws", file.name)), maxAWSFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			continue // reported later as missing
		}
		readSection(settings, text, file.section)
	}
	return settings
}

// readSection reads a section of a file in AWS's format. It ignores indented lines, which
// belong to the setting above.
func readSection(settings map[string]string, text []byte, section string) {
	inside := false
	for line := range bytes.Lines(text) {
		trimmed := strings.TrimSpace(string(line))
		if strings.HasPrefix(trimmed, "[") {
			heading, _, _ := strings.Cut(trimmed[1:], "]")
			inside = strings.Join(strings.Fields(heading), " ") == section
			continue
		}
		name, value, found := strings.Cut(trimmed, "=")
		if !inside || !found || strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, ";") || line[0] == ' ' || line[0] == '\t' {
			continue
		}
		settings[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
}

type awsKey struct {
	id             string
	secret, access secret.Secret // session is the token of temporary credentials
}

// sigV4 is a request to sign with AWS Signature Version 4, without a query.
type sigV4 struct {
	method, host, path string
	region, service    string
	body               []byte
}

// sign adds the time and the signature to headers, all of which are signed.
func (r sigV4) sign(header http.Header, key awsKey, at time.Time) {
	at = at.UTC()
	header.Set("X-Amz-Date", at.Format("20060102T150405Z"))
	if !key.access.IsZero() {
		header.Set("X-Amz-Security-Token", key.access.Reveal())
	}
	signed := map[string]string{"host": r.host}
	for name, values := range header {
		signed[strings.ToLower(name)] = strings.Join(values, ",")
	}
	names := slices.Sorted(maps.Keys(signed))
	var lines strings.Builder
	for _, name := range names {
		fmt.Fprintf(&lines, "%s:%s\n", name, strings.TrimSpace(signed[name]))
	}
	all := strings.Join(names, ";")
	request := strings.Join([]string{r.method, r.path, "", lines.String(), all, fmt.Sprintf("%x", sha256.Sum256(r.body))}, "\n")
	scope := strings.Join([]string{at.Format("20060102"), r.region, r.service, "aws4_request"}, "/")
	text := strings.Join([]string{"AWS4-HMAC-SHA256", header.Get("X-Amz-Date"), scope, fmt.Sprintf("%x", sha256.Sum256([]byte(request)))}, "\n")
	mac := []byte("AWS4" + key.secret.Reveal())
	for _, part := range append(strings.Split(scope, "/"), text) {
		keyed := hmac.New(sha256.New, mac)
		keyed.Write([]byte(part))
		mac = keyed.Sum(nil)
	}
	header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", key.id, scope, all, mac))
}
