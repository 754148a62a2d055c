package auth

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/ci"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credhelper"
	"github.com/fobcli/fob/internal/loopback"
	"github.com/fobcli/fob/internal/oauth"
)

// ProfileFlags are the settings of a profile as flags of `login` and `profile set`.
type ProfileFlags struct {
	config.Profile
	given func(flag string) bool // whether a flag was used; otherwise the stored setting is unchanged
}

type setting struct {
	flag    string
	field   any // *string, *[]string or *bool
	usage   string
	choices []string                       // for completion; without check, there are no other values
	check   func(flag, value string) error // called for each value that is not empty
}

// profileSettings returns the flags for the fields of a profile, most used first.
func profileSettings(p *config.Profile) []setting {
	isURL := checkWith(oauth.CheckURL, "use an https URL; http is only for loopback addresses")
	isResource := checkWith(oauth.CheckResource, "use the API's identifier: an https URL, or another absolute URI")
	isPlace := checkWith(parseCheck(usage.URLPlace), usage.HintHost)
	isRegistry := checkWith(parseCheck(credhelper.ParseRegistry), usage.HintRegistry)
	isIdentity := checkWith(parseCheck(ci.ParseSource), "choose github, gitlab, env:NAME, file:PATH or command")
	return []setting{
		{"provider", &p.Provider, "preset `NAME`, see 'fob profile providers'", app.ProviderNames(), checkProvider},
		{"issuer", &p.Issuer, "issuer `URL` of the server", nil, isURL},
		{"client-id", &p.ClientID, "`ID` of the OAuth client (default: ask for it)", nil, nil},
		{"scope", &p.Scopes, "`SCOPES` to request, separated by spaces", nil, nil},
		{"resource", &p.Resources, "`URL` of an API that the tokens are for", nil, isResource},
		{"grant", &p.Grant, "`GRANT` type, such as client_credentials", config.Grants(), nil},
		{"redirect-uri", &p.RedirectURI, "loopback redirect `URI`; {issuer} becomes a hash", nil, checkRedirect},
		{"storage", &p.Storage, "`BACKEND` that stores it: keyring or file", config.Storages(), nil},
		{"ca-file", &p.CAFile, "`FILE` with additional CA certificates", nil, nil},
		{"token-endpoint-auth-method", &p.TokenEndpointAuthMethod, "client authentication `METHOD`", oauth.AuthMethods(), nil},
		{"private-key-file", &p.PrivateKeyFile, "`FILE` with the private key (PEM or JWK)", nil, nil},
		{"client-assertion-audience", &p.ClientAssertionAudience, "`AUDIENCE` of its JWTs: issuer, endpoint", oauth.AssertionAudiences(), nil},
		{"certificate-file", &p.CertificateFile, "`FILE` with a certificate for mutual TLS", nil, nil},
		{"certificate-key-file", &p.CertificateKeyFile, "`FILE` with the certificate's key", nil, nil},
		{"dpop", &p.DPoP, "bind tokens to a key of this login (RFC 9449)", nil, nil},
		{"via", &p.Via, "`PROFILE` whose login gets the tokens (ID-JAG)", nil, checkWith(config.CheckName, "name the profile of the company's login")},
		{"authorization-details", &p.AuthorizationDetails, "`FILE` with authorization_details, in JSON (RFC 9396)", nil, nil},
		{"identity", &p.Identity, "`SOURCE`: github, gitlab, env:NAME, file:PATH, command", []string{"github", "gitlab", "env:", "file:", "command"}, isIdentity},
		{"identity-audience", &p.IdentityAudience, "`AUDIENCE` of the identity (default: issuer)", nil, nil},
		{"audience", &p.Audience, "`AUDIENCE` of the access token", nil, nil},
		{"trusted-audience", &p.TrustedAudiences, "`AUDIENCE` that an id_token may also have", nil, nil},
		{"authorization-endpoint", &p.AuthorizationEndpoint, "`URL` for the browser", nil, isURL},
		{"token-endpoint", &p.TokenEndpoint, "`URL` that issues tokens", nil, isURL},
		{"revocation-endpoint", &p.RevocationEndpoint, "`URL` that revokes tokens", nil, isURL},
		{"userinfo-endpoint", &p.UserinfoEndpoint, "`URL` that names the account", nil, isURL},
		{"device-authorization-endpoint", &p.DeviceAuthorizationEndpoint, "`URL` for --device", nil, isURL},
		{"git-host", &p.GitHosts, "`URL` of a host or a repository; repeatable", nil, isPlace},
		{"git-username", &p.GitUsername, "user `NAME` to send with a token", nil, nil},
		{"docker-registry", &p.DockerRegistries, "`HOST` or HOST:PORT of a registry; repeatable", nil, isRegistry},
		{"docker-username", &p.DockerUsername, "user `NAME`; <token> for an identity token", nil, nil},
		{"kubernetes-server", &p.KubernetesServers, "`URL` of a cluster; repeatable", nil, isPlace},
	}
}

func (f *ProfileFlags) Register(c *cobra.Command) {
	flags := c.Flags()
	f.given = flags.Changed
	flags.SortFlags = false
	c.Annotations = map[string]string{usage.MoreFlags: "More settings, for machines, certificates, git and docker: 'fob help settings'."}
	for _, s := range profileSettings(&f.Profile) {
		switch field := s.field.(type) {
		case *string:
			flags.StringVar(field, s.flag, "", s.usage)
		case *[]string:
			flags.StringArrayVar(field, s.flag, nil, s.usage)
		case *bool:
			flags.BoolVar(field, s.flag, false, s.usage)
		}
		if s.choices != nil {
			_ = c.RegisterFlagCompletionFunc(s.flag, cobra.FixedCompletions(s.choices, cobra.ShellCompDirectiveNoFileComp))
		}
	}
}

// apply applies the flags to a profile. An empty value removes a setting.
func (f *ProfileFlags) apply(p *config.Profile) error {
	if err := f.resolveFiles(); err != nil {
		return err
	}
	server, grant := p.WithProvider().Authority(), p.Grant
	settings := profileSettings(&f.Profile)
	for i, s := range profileSettings(p) {
		if !f.given(s.flag) {
			continue
		}
		var err error
		switch field := s.field.(type) {
		case *bool:
			*field = *settings[i].field.(*bool)
		case *string:
			*field = *settings[i].field.(*string)
			err = s.checkValues(*field)
		case *[]string:
			*field = withoutEmpty(*settings[i].field.(*[]string))
			err = s.checkValues(*field...)
		}
		if err != nil {
			return err
		}
	}
	if (f.CertificateFile == "") != (f.CertificateKeyFile == "") {
		return cli.WithHint(cli.Usagef("a client certificate requires its key"), "use both --certificate-file and --certificate-key-file")
	}
	if f.given("scope") {
		p.Scopes = strings.Fields(strings.Join(f.Scopes, " "))
	}
	if f.given("via") {
		p.Grant = map[bool]string{true: config.GrantIDJAG}[f.Via != ""]
	}
	var err error
	if p.Grant, err = config.ParseGrant(p.Grant); err != nil {
		return err
	}
	if f.given("redirect-uri") || p.WithProvider().Authority() != server || p.Grant != grant {
		p.NameIssuer()
	}
	switch {
	case (p.Grant == config.GrantIDJAG) != (p.Via != ""):
		return cli.WithHint(cli.Usagef("the grant %s and --via require each other", config.GrantIDJAG), "name the profile of the company's login: --via NAME")
	case app.ShowsIdentity(*p) && p.DPoP:
		return cli.WithHint(cli.Usagef("the grant %s cannot bind tokens to a key", p.Grant), "leave out --dpop, or set --dpop=false")
	case !app.ShowsIdentity(*p) && f.Identity != "":
		return cli.WithHint(cli.Usagef("--identity requires a grant that uses it"), "add --grant %s or --grant %s", config.GrantTokenExchange, config.GrantJWTBearer)
	}
	return nil
}

// resolveFiles makes paths absolute, because the profile may be used from another folder. It
// reads the file that is not stored as a path.
func (f *ProfileFlags) resolveFiles() (err error) {
	for _, file := range []*string{&f.CAFile, &f.PrivateKeyFile, &f.CertificateFile, &f.CertificateKeyFile} {
		if *file == "" {
			continue
		}
		if *file, err = filepath.Abs(*file); err != nil {
			return err
		}
	}
	f.AuthorizationDetails, err = app.ReadDetails(f.AuthorizationDetails)
	return err
}

func (s setting) checkValues(values ...string) error {
	for _, value := range withoutEmpty(values) {
		if s.check != nil {
			if err := s.check(s.flag, value); err != nil {
				return err
			}
		} else if s.choices != nil && !slices.Contains(s.choices, value) {
			return cli.WithHint(cli.Usagef("there is no %s %q", strings.ReplaceAll(s.flag, "-", " "), value), "choose one of %s", strings.Join(s.choices, ", "))
		}
	}
	return nil
}

// withoutEmpty returns the values of a repeatable flag without empty ones.
func withoutEmpty(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(value string) bool { return value == "" })
}

// checkWith returns a check that parses a flag's value.
func checkWith(read func(string) error, hint string) func(flag, value string) error {
	return func(flag, value string) error {
		return cli.WithHint(cli.InvalidIn("--"+flag, read(value)), "%s", hint)
	}
}

func parseCheck[T any](parse func(string) (T, error)) func(string) error {
	return func(value string) error {
		_, err := parse(value)
		return err
	}
}

func checkProvider(_, name string) error {
	if _, ok := config.FindProvider(name); !ok {
		return cli.WithHint(cli.Usagef("there is no preset %q", name), "'fob profile providers' lists them")
	}
	return nil
}

func checkRedirect(_, uri string) error {
	filled := strings.ReplaceAll(uri, config.IssuerMark, "x")
	if strings.ContainsAny(filled, "{}") {
		return cli.WithHint(cli.Usagef("--redirect-uri: unknown placeholder in %q", uri), "the only placeholder is %s", config.IssuerMark)
	}
	return cli.WithHint(cli.AsUsage(loopback.CheckRedirectURI(filled)), "use an address of this machine, such as http://127.0.0.1/callback/%s", config.IssuerMark)
}
