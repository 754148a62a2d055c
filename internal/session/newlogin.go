package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/oauth"
)

// RegisterClient registers fob at a server, with the device grant too if the server has it: a
// later login may use it. Some servers name that grant and refuse it (glewlwyd): they are asked
// again without, unless this login needs it.
func RegisterClient(ctx context.Context, hc *http.Client, m *discovery.Metadata, redirect string, needsDevice bool) (*oauth.Registration, error) {
	grants := []string{config.GrantAuthorizationCode, "refresh_token"}
	if needsDevice || m.DeviceAuthorizationEndpoint != "" {
		r, err := oauth.Register(ctx, hc, m, redirect, append(grants, oauth.GrantDeviceCode))
		if needsDevice || !oauth.HasCode(err, "invalid_client_metadata") {
			return r, err
		}
	}
	return oauth.Register(ctx, hc, m, redirect, grants)
}

// TryGiven tries a token that the user provides, and returns the tokens to save. A refresh
// proves a refresh token, and makes other copies of it worthless if the server rotates. The
// userinfo endpoint, if there is one, is asked about an access token.
func TryGiven(ctx context.Context, client *oauth.Client, given *oauth.TokenResponse) (*oauth.TokenResponse, error) {
	if !given.RefreshToken.IsZero() {
		fresh, err := client.Refresh(ctx, given.RefreshToken, oauth.Target{})
		if err != nil {
			return nil, fmt.Errorf("trying the given refresh token: %w", err)
		}
		if fresh.RefreshToken.IsZero() {
			fresh.RefreshToken = given.RefreshToken
		}
		return fresh, nil
	}
	access, err := given.AccessToken()
	if err != nil || client.Metadata.UserinfoEndpoint == "" {
		return given, err
	}
	if _, err := client.Userinfo(ctx, access.Value, ""); errors.Is(err, oauth.ErrTokenRefused) {
		return nil, fmt.Errorf("trying the given token: %w", err)
	}
	return given, nil
}
