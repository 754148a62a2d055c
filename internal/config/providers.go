package config

import "cmp"

const (
	anyPortRedirect   = issuerRedirect                                          // for servers that ignore the port (RFC 8252)
	fixedPortRedirect = "http://localhost:8976" + sharedPath + "/" + IssuerMark // for servers that compare it
)

// For servers that also accept paths below a registered redirect URI: registering only
// /callback would accept the paths of all issuers.
const wholePathNote = " Register the redirect URI with its whole path: paths below a registered one are accepted."

// Providers returns the presets, sorted by name.
func Providers() []Provider {
	all := []Provider{
		{
			Name:                  "atlassian",
			Title:                 "Atlassian (Jira, Confluence)",
			AuthorizationEndpoint: "https://auth.atlassian.com/authorize",
			TokenEndpoint:         "https://auth.atlassian.com/oauth/token",
			UserinfoEndpoint:      "https://api.atlassian.com/me",
			Scopes:                []string{"read:me", "offline_access"},
			AuthParams:            map[string]string{"audience": "api.atlassian.com", "prompt": "consent"},
			SecretRequired:        true,
			RevokeAt:              "https://id.atlassian.com/manage-profile/apps",
			RegisterAt:            "https://developer.atlassian.com/console/myapps/",
			Note:                  "Add the User identity API, and every API whose scopes you ask for, to the app.",
		},
		{
			Name:       "auth0",
			Title:      "Auth0",
			Issuer:     "https://{domain}/",
			Scopes:     []string{"openid", "profile", "email", "offline_access"},
			Device:     true,
			DeviceNote: "Make a Native application with the Device Code and the Refresh Token grant.",
			Revocation: RevokesGrant,
			RevokeAt:   "https://manage.auth0.com/",
			Note:       "Make a Native application; refresh tokens need the Refresh Token grant. A tenant may be set to end the whole grant with a refresh token.",
		},
		{
			Name:                    "bitbucket",
			Title:                   "Bitbucket Cloud",
			AuthorizationEndpoint:   "https://bitbucket.org/site/oauth2/authorize",
			TokenEndpoint:           "https://bitbucket.org/site/oauth2/access_token",
			UserinfoEndpoint:        "https://api.bitbucket.org/2.0/user",
			Scopes:                  []string{"account"},
			SecretRequired:          true,
			TokenEndpointAuthMethod: "client_secret_basic",
			GitHosts:                []string{"https://bitbucket.org"},
			GitUsername:             "x-token-auth",
			RevokeAt:                "https://bitbucket.org/account/settings/app-authorizations/",
			RegisterAt:              "https://support.atlassian.com/bitbucket-cloud/docs/use-oauth-on-bitbucket-cloud/",
			Note:                    "An OAuth consumer is made in the workspace's settings, with the permission Account: Read." + wholePathNote,
		},
		{
			Name:                  "digitalocean",
			Title:                 "DigitalOcean",
			AuthorizationEndpoint: "https://cloud.digitalocean.com/v1/oauth/authorize",
			TokenEndpoint:         "https://cloud.digitalocean.com/v1/oauth/token",
			Scopes:                []string{"read"},
			SecretRequired:        true,
			RevokeAt:              "https://cloud.digitalocean.com/account/api/access",
			RegisterAt:            "https://cloud.digitalocean.com/account/api/applications",
			Note:                  "Its revocation endpoint requires the token itself as a bearer token, which is not RFC 7009: revoke it on the page.",
		},
		{
			Name:                  "github",
			Title:                 "GitHub",
			Issuer:                "https://github.com/login/oauth",
			AuthorizationEndpoint: "https://github.com/login/oauth/authorize",
			TokenEndpoint:         "https://github.com/login/oauth/access_token",
			UserinfoEndpoint:      "https://api.github.com/user",

			DeviceAuthorizationEndpoint: "https://github.com/login/device/code",

			Scopes:           []string{"read:user", "offline_access"},
			SecretRequired:   true,
			RedirectURI:      anyPortRedirect,
			GitHosts:         []string{"https://github.com"},
			GitUsername:      "x-access-token",
			DockerRegistries: []string{"ghcr.io"},
			DockerUsername:   "x-access-token",
			Device:           true,
			DevicePublic:     true,
			DeviceNote:       "Check Enable Device Flow in the application's settings. Its form requires a callback URL, which the device flow does not use.",
			RevokeAt:         "https://github.com/settings/applications",
			RegisterAt:       "https://github.com/settings/applications/new",
			Note:             "With offline_access, tokens of an OAuth app expire after 8 hours and are refreshed, like those of a GitHub App; without it they do not expire. An app accepts up to 10 redirect URIs: register this one with its whole path, and turn its wildcard off, which accepts paths below it.",
			Verified:         "from documentation, 2026-11-30",
		},
		{
			Name:             "gitlab",
			Title:            "GitLab.com",
			Issuer:           "https://gitlab.com",
			Scopes:           []string{"openid", "profile", "email"},
			RedirectURI:      anyPortRedirect,
			GitHosts:         []string{"https://gitlab.com"},
			GitUsername:      "oauth2",
			DockerRegistries: []string{"registry.gitlab.com"},
			DockerUsername:   "oauth2",
			Device:           true,
			DeviceNote:       "Leave Confidential off, or fob needs the secret too.",
			Revocation:       RevokesToken,
			RevokeAt:         "https://gitlab.com/-/user_settings/applications",
			Note:             "Leave Confidential off, or fob needs the secret too. Your own GitLab: --issuer https://gitlab.example.com",
		},
		{
			Name:           "google",
			Title:          "Google",
			Issuer:         "https://accounts.google.com",
			Scopes:         []string{"openid", "profile", "email"},
			AuthParams:     map[string]string{"access_type": "offline", "prompt": "consent"},
			SecretRequired: true,
			RedirectURI:    anyPortRedirect,
			DockerUsername: "oauth2accesstoken",
			Device:         true,
			DeviceNote:     "Make a client of the type TVs and Limited Input devices.",
			Revocation:     RevokesGrant,
			RevokeAt:       "https://myaccount.google.com/connections",
			RegisterAt:     "https://console.cloud.google.com/auth/clients",
			Note:           "Make a client of the type Desktop app, which takes this redirect URI without registration. Its path is not compared: only the client secret keeps other servers from using a code.",
		},
		{
			Name:        "keycloak",
			Title:       "Keycloak",
			Issuer:      "https://{host}/realms/{realm}",
			Scopes:      []string{"openid", "profile", "email", "offline_access"},
			AuthParams:  map[string]string{"prompt": "consent"},
			RedirectURI: anyPortRedirect,
			Device:      true,
			DeviceNote:  "Make a public client with the OAuth 2.0 Device Authorization Grant.",
			Revocation:  RevokesToken,
			RevokeAt:    "https://www.keycloak.org/docs/latest/server_admin/",
			Note:        "Make a public client with the standard flow. The realm's account console lists and ends logins.",
		},
		{
			Name:                  "linear",
			Title:                 "Linear",
			AuthorizationEndpoint: "https://linear.app/oauth/authorize",
			TokenEndpoint:         "https://api.linear.app/oauth/token",
			RevocationEndpoint:    "https://api.linear.app/oauth/revoke",
			Scopes:                []string{"read"},
			SecretRequired:        true,
			Revocation:            RevokesToken,
			RevokeAt:              "https://linear.app/settings/account/security",
			RegisterAt:            "https://linear.app/settings/api/applications/new",
			Note:                  "Linear separates scopes by commas: write several as one, 'read,write'.",
		},
		{
			Name:                    "microsoft",
			Title:                   "Microsoft Entra ID",
			Issuer:                  "https://login.microsoftonline.com/{tenant}/v2.0",
			Scopes:                  []string{"openid", "profile", "email", "offline_access"},
			AuthParams:              map[string]string{"prompt": "select_account"},
			RedirectURI:             "http://localhost" + sharedPath + "/" + IssuerMark,
			Device:                  true,
			DeviceNote:              "Register an application that allows public client flows. The tenant is the directory's ID; common names no issuer.",
			ClientAssertionAudience: "endpoint",
			RevokeAt:                "https://myapps.microsoft.com/",
			RegisterAt:              "https://entra.microsoft.com/",
			Note:                    "Register a mobile and desktop application. The tenant is the directory's ID; common names no issuer.",
		},
		{
			Name:                    "okta",
			Title:                   "Okta",
			Issuer:                  "https://{domain}",
			Scopes:                  []string{"openid", "profile", "email", "offline_access"},
			AuthParams:              map[string]string{"prompt": "consent"},
			Device:                  true,
			DeviceNote:              "Make a native application with the grants Device Authorization and Refresh Token.",
			ClientAssertionAudience: "endpoint",
			Revocation:              RevokesToken,
			RevokeAt:                "https://www.okta.com/login/",
			RegisterAt:              "https://developer.okta.com/login/",
			Note:                    "Make a native application with the grants Authorization Code and Refresh Token. A custom authorization server: --issuer https://DOMAIN/oauth2/default",
		},
		{
			Name:                  "slack",
			Title:                 "Slack",
			AuthorizationEndpoint: "https://slack.com/oauth/v2_user/authorize",
			TokenEndpoint:         "https://slack.com/api/oauth.v2.user.access",
			Scopes:                []string{"users:read"},
			RevokeAt:              "https://slack.com/apps/manage",
			RegisterAt:            "https://api.slack.com/apps",
			Note:                  "Turn PKCE on for the app, which makes it a public client for good: only then does Slack accept a loopback redirect, and only for user scopes. Refresh tokens last 30 days." + wholePathNote,
		},
	}
	for i := range all {
		all[i].RedirectURI = cmp.Or(all[i].RedirectURI, fixedPortRedirect)
		all[i].Revocation = cmp.Or(all[i].Revocation, RevokesNothing)
		all[i].RegisterAt = cmp.Or(all[i].RegisterAt, all[i].RevokeAt)
		if all[i].SecretRequired {
			all[i].TokenEndpointAuthMethod = cmp.Or(all[i].TokenEndpointAuthMethod, "client_secret_post")
		}
		all[i].Verified = cmp.Or(all[i].Verified, "from documentation, 2026-11-23")
	}
	return all
}
