package cmd

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/ci"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/helper"
	"github.com/fobcli/fob/internal/loopback"
	"github.com/fobcli/fob/internal/oauth"
)

// profileFlags are the settings of a profile, as `login` and `profile set` take them.
type profileFlags struct {
	config.Profile
	scopes []string
	dpop   *bool                  // nil: as it is
	given  func(flag string) bool // one that is not leaves the stored setting as it is
}

func (f *profileFlags) register(c *cobra.Command) {
	flags := c.Flags()
	f.given = flags.Changed
	flags.SortFlags = false // in the order of need
	c.Annotations = map[string]string{moreFlags: "Machines, certificates, odd servers, git and docker: 'fob help settings'."}
	flags.StringVar(&f.Provider, "provider", "", "a preset's `NAME`: see 'fob profile providers'")
	flags.StringVar(&f.Issuer, "issuer", "", "the server's `URL`: all else follows from it")
	flags.StringVar(&f.ClientID, "client-id", "", "the OAuth client's `ID`, else fob asks for one")
	flags.StringArrayVar(&f.scopes, "scope", nil, "`SCOPES` to ask for, separated by blanks")
	flags.StringArrayVar(&f.Resources, "resource", nil, "the `URL` of an API that the tokens are for")
	flags.StringVar(&f.Grant, "grant", "", "how tokens are had: a `GRANT`, see above")
	flags.StringVar(&f.RedirectURI, "redirect-uri", "", "a loopback `URI`; {issuer} becomes a hash")
	flags.StringVar(&f.Storage, "storage", "", "the `BACKEND` that keeps it: keyring or file")
	flags.StringVar(&f.CAFile, "ca-file", "", "a `FILE` of certificates to trust as well")
	flags.StringVar(&f.TokenEndpointAuthMethod, "token-endpoint-auth-method", "", "a `METHOD`, if not the usual one")
	flags.StringVar(&f.PrivateKeyFile, "private-key-file", "", "its private key: a `FILE` (PEM or JWK)")
	flags.StringVar(&f.ClientAssertionAudience, "client-assertion-audience", "", "its JWTs are for `WHO`: issuer or endpoint")
	flags.StringVar(&f.CertificateFile, "certificate-file", "", "for mutual TLS, a `FILE` in PEM")
	flags.StringVar(&f.CertificateKeyFile, "certificate-key-file", "", "the key of that, a `FILE` in PEM")
	flags.BoolFunc("dpop", "bind tokens to a key of this login (RFC 9449)", func(text string) error {
		given, err := strconv.ParseBool(text)
		f.dpop = &given
		return err
	})
	flags.StringVar(&f.Identity, "identity", "", "`SOURCE`: github, gitlab, env:NAME, file:PATH, command")
	flags.StringVar(&f.IdentityAudience, "identity-audience", "", "the `AUDIENCE` of that, if not the issuer")
	flags.StringVar(&f.Audience, "audience", "", "the `AUDIENCE` of the access token")
	flags.StringVar(&f.AuthorizationEndpoint, "authorization-endpoint", "", "where the browser goes: a `URL`")
	flags.StringVar(&f.TokenEndpoint, "token-endpoint", "", "where tokens come from: a `URL`")
	flags.StringVar(&f.RevocationEndpoint, "revocation-endpoint", "", "where they are ended: a `URL`")
	flags.StringVar(&f.UserinfoEndpoint, "userinfo-endpoint", "", "where it says who you are: a `URL`")
	flags.StringVar(&f.DeviceAuthorizationEndpoint, "device-authorization-endpoint", "", "its `URL`, for --device")
	flags.StringArrayVar(&f.GitHosts, "git-host", nil, "a `URL`: https://HOST[:PORT][/PATH]; repeatable")
	flags.StringVar(&f.GitUsername, "git-username", "", "the `NAME` that it wants beside a token")
	flags.StringArrayVar(&f.DockerRegistries, "docker-registry", nil, "a registry: `HOST` or HOST:PORT; repeatable")
	flags.StringVar(&f.DockerUsername, "docker-username", "", "a `NAME`; <token> for an identity token")
	flags.StringArrayVar(&f.KubernetesServers, "kubernetes-server", nil, "the `URL` of a cluster; repeatable")
	for flag, values := range map[string][]string{
		"storage": {storageKeyring, storageFile}, "provider": providerNames(), "grant": config.Grants(),
		"client-assertion-audience": oauth.AssertionAudiences(), "token-endpoint-auth-method": oauth.AuthMethods(), "identity": {"github", "gitlab", "env:", "file:", "command"},
	} {
		_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
}

func providerNames() []string {
	var names []string
	for _, p := range config.Providers() {
		names = append(names, p.Name)
	}
	return names
}

// apply checks the flags and lays those that were given over a profile. An empty value
// removes a setting.
func (f *profileFlags) apply(p *config.Profile) error {
	if err := f.check(); err != nil {
		return err
	}
	server, grant := p.WithProvider().Authority(), p.Grant
	for _, set := range []struct {
		flag         string
		field, value *string
	}{
		{"provider", &p.Provider, &f.Provider},
		{"issuer", &p.Issuer, &f.Issuer},
		{"client-id", &p.ClientID, &f.ClientID},
		{"redirect-uri", &p.RedirectURI, &f.RedirectURI},
		{"storage", &p.Storage, &f.Storage},
		{"token-endpoint-auth-method", &p.TokenEndpointAuthMethod, &f.TokenEndpointAuthMethod},
		{"client-assertion-audience", &p.ClientAssertionAudience, &f.ClientAssertionAudience},
		{"authorization-endpoint", &p.AuthorizationEndpoint, &f.AuthorizationEndpoint},
		{"token-endpoint", &p.TokenEndpoint, &f.TokenEndpoint},
		{"revocation-endpoint", &p.RevocationEndpoint, &f.RevocationEndpoint},
		{"userinfo-endpoint", &p.UserinfoEndpoint, &f.UserinfoEndpoint},
		{"device-authorization-endpoint", &p.DeviceAuthorizationEndpoint, &f.DeviceAuthorizationEndpoint},
		{"identity", &p.Identity, &f.Identity},
		{"identity-audience", &p.IdentityAudience, &f.IdentityAudience},
		{"audience", &p.Audience, &f.Audience},
		{"git-username", &p.GitUsername, &f.GitUsername},
		{"docker-username", &p.DockerUsername, &f.DockerUsername},
	} {
		if f.given(set.flag) {
			*set.field = *set.value
		}
	}
	if err := f.applyFiles(p); err != nil {
		return err
	}
	if f.given("grant") {
		grant, err := config.ParseGrant(f.Grant)
		if err != nil {
			return err
		}
		p.Grant = grant
	}
	f.applyLists(p)
	if f.dpop != nil {
		p.DPoP = *f.dpop
	}
	if f.given("redirect-uri") || p.WithProvider().Authority() != server || p.Grant != grant {
		p.NameIssuer()
	}
	return nil
}

// applyLists lays the flags that may be repeated over a profile.
func (f *profileFlags) applyLists(p *config.Profile) {
	if f.given("scope") {
		p.Scopes = strings.Fields(strings.Join(f.scopes, " "))
	}
	if f.given("resource") {
		p.Resources = nonEmpty(f.Resources)
	}
	if f.given("git-host") {
		p.GitHosts = nonEmpty(f.GitHosts)
	}
	if f.given("docker-registry") {
		p.DockerRegistries = nonEmpty(f.DockerRegistries)
	}
	if f.given("kubernetes-server") {
		p.KubernetesServers = nonEmpty(f.KubernetesServers)
	}
}

// applyFiles lays the flags that name files over a profile. It may be used in another
// folder than this one.
func (f *profileFlags) applyFiles(p *config.Profile) error {
	for _, set := range []struct {
		flag         string
		field, value *string
	}{
		{"ca-file", &p.CAFile, &f.CAFile},
		{"private-key-file", &p.PrivateKeyFile, &f.PrivateKeyFile},
		{"certificate-file", &p.CertificateFile, &f.CertificateFile},
		{"certificate-key-file", &p.CertificateKeyFile, &f.CertificateKeyFile},
	} {
		if !f.given(set.flag) {
			continue
		}
		if *set.field = *set.value; *set.value == "" {
			continue
		}
		absolute, err := filepath.Abs(*set.value)
		if err != nil {
			return err
		}
		*set.field = absolute
	}
	return nil
}

// nonEmpty are the values of a flag that may be repeated; an empty one names none.
func nonEmpty(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(value string) bool { return value == "" })
}

// checkGrant refuses settings that the profile's grant would leave unused.
func (f *profileFlags) checkGrant(p config.Profile) error {
	switch {
	case showsIdentity(p) && p.DPoP:
		return withHint(usagef("with the grant %s no token is bound to a key", p.Grant), "give --dpop=false, or leave --dpop out")
	case !showsIdentity(p) && f.Identity != "":
		return withHint(usagef("--identity is for a machine that shows its own"), "give --grant %s or --grant %s with it", config.GrantTokenExchange, config.GrantJWTBearer)
	}
	return nil
}

// check refuses what no profile can hold.
func (f *profileFlags) check() error {
	if _, ok := config.FindProvider(f.Provider); f.Provider != "" && !ok {
		return withHint(usagef("there is no preset %q", f.Provider), "'fob profile providers' lists them")
	}
	for _, choice := range []struct {
		what, value string
		of          []string
	}{
		{"storage", f.Storage, []string{storageKeyring, storageFile}},
		{"token endpoint auth method", f.TokenEndpointAuthMethod, oauth.AuthMethods()},
		{"client assertion audience", f.ClientAssertionAudience, oauth.AssertionAudiences()},
		{"grant", f.Grant, config.Grants()},
	} {
		if choice.value != "" && !slices.Contains(choice.of, choice.value) {
			return withHint(usagef("there is no %s %q", choice.what, choice.value), "choose one of %s", strings.Join(choice.of, ", "))
		}
	}
	if _, err := ci.ParseSource(f.Identity); err != nil {
		return withHint(usagef("--identity: %s", err), "choose github, gitlab, env:NAME, file:PATH or command")
	}
	if (f.CertificateFile == "") != (f.CertificateKeyFile == "") {
		return withHint(usagef("a certificate comes with its key"), "give both --certificate-file and --certificate-key-file")
	}
	return f.checkURLs()
}

func (f *profileFlags) checkURLs() error {
	type named struct{ flag, url string }
	urls := []named{
		{"issuer", f.Issuer}, {"authorization-endpoint", f.AuthorizationEndpoint}, {"token-endpoint", f.TokenEndpoint},
		{"revocation-endpoint", f.RevocationEndpoint}, {"userinfo-endpoint", f.UserinfoEndpoint},
		{"device-authorization-endpoint", f.DeviceAuthorizationEndpoint},
	}
	for _, u := range urls {
		if u.url == "" {
			continue
		}
		if err := oauth.CheckURL(u.url); err != nil {
			return withHint(usagef("--%s: %s", u.flag, err), "give an https URL; http is for loopback addresses alone")
		}
	}
	for _, resource := range nonEmpty(f.Resources) {
		if err := oauth.CheckResource(resource); err != nil {
			return withHint(usagef("--resource: %s", err), "give the API's own name: an https URL, or another absolute URI")
		}
	}
	if err := f.checkPlaces(); err != nil {
		return err
	}
	if f.RedirectURI != "" {
		if err := loopback.CheckRedirectURI(strings.ReplaceAll(f.RedirectURI, config.IssuerMark, "x")); err != nil {
			return withHint(&usageError{err.Error()}, "the browser must come back to this machine, for instance to http://127.0.0.1/callback/%s", config.IssuerMark)
		}
	}
	return nil
}

// checkPlaces looks at the hosts that helpers may show a token to.
func (f *profileFlags) checkPlaces() error {
	for _, host := range nonEmpty(f.GitHosts) {
		if _, err := urlPlace(host); err != nil {
			return withHint(usagef("--git-host: %s", err), hintHost)
		}
	}
	for _, registry := range nonEmpty(f.DockerRegistries) {
		if _, err := helper.ParseRegistry(registry); err != nil {
			return withHint(usagef("--docker-registry: %s", err), hintRegistry)
		}
	}
	for _, server := range nonEmpty(f.KubernetesServers) {
		if _, err := urlPlace(server); err != nil {
			return withHint(usagef("--kubernetes-server: %s", err), hintHost)
		}
	}
	return nil
}
