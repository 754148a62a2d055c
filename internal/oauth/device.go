package oauth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// GrantDeviceCode is the grant for a login on another device (RFC 8628 §3.4).
const GrantDeviceCode = "urn:ietf:params:oauth:grant-type:device_code"

// ErrDeviceExpired means that the user code was not entered in time.
var ErrDeviceExpired = errors.New("the code has expired before the login was finished")

// Limits of what a server may require of a polling device (RFC 8628 §3.2, §3.5).
const (
	defaultInterval   = 5 * time.Second
	maxBackoff        = time.Minute // added to the interval while the server is unavailable
	slowDownBy        = 5 * time.Second
	defaultCodeLife   = 5 * time.Minute
	maxCodeLife       = 30 * time.Minute
	maxUserCodeLength = 64
)

// DeviceAuthorization is a login to finish on any device (RFC 8628 §3.2).
type DeviceAuthorization struct {
	UserCode                string // inert
	VerificationURI         string
	VerificationURIComplete string // contains the user code; empty if the server sends none
	ExpiresAt               time.Time

	deviceCode secret.Secret
	interval   time.Duration
	resource   string
}

// AuthorizeDevice starts a login on another device.
func (c *Client) AuthorizeDevice(ctx context.Context, params AuthorizationParams) (*DeviceAuthorization, error) {
	if c.Metadata.DeviceAuthorizationEndpoint == "" {
		return nil, fmt.Errorf("%w: it has no device authorization endpoint", ErrUnsupported)
	}
	form := params.form()
	if want := params.Target(); want.Scope != "" {
		form.Set("scope", want.Scope)
	}
	status, body, err := c.post(ctx, c.Metadata.DeviceAuthorizationEndpoint, form, nil)
	if err != nil {
		return nil, err
	}
	if err := c.responseError(status, body); !isSuccess(status) || errors.As(err, new(*Error)) { // GitHub refuses with 200
		return nil, err
	}
	d, err := parseDeviceAuthorization(body, c.Now())
	if err != nil {
		return nil, err
	}
	d.resource = params.Target().Resource
	return d, nil
}

// parseDeviceAuthorization limits all numbers and rejects URLs that are unsuitable for a
// user.
func parseDeviceAuthorization(body []byte, now time.Time) (*DeviceAuthorization, error) {
	var answer struct {
		DeviceCode              string          `json:"device_code"`
		UserCode                string          `json:"user_code"`
		VerificationURI         string          `json:"verification_uri"`
		VerificationURL         string          `json:"verification_url"` // Google's name for it
		VerificationURIComplete string          `json:"verification_uri_complete"`
		ExpiresIn               json.RawMessage `json:"expires_in"`
		Interval                json.RawMessage `json:"interval"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return nil, fmt.Errorf("%w: no JSON object came from the device authorization endpoint", ErrMalformed)
	}
	answer.VerificationURI = cmp.Or(answer.VerificationURI, answer.VerificationURL)
	userCode := sanitize.Line(answer.UserCode)
	if answer.DeviceCode == "" || userCode == "" || len(userCode) > maxUserCodeLength {
		return nil, fmt.Errorf("%w: it gave no codes", ErrMalformed)
	}
	if err := CheckURL(answer.VerificationURI); err != nil {
		return nil, fmt.Errorf("%w: its verification_uri: %w", ErrMalformed, err)
	}
	if complete := answer.VerificationURIComplete; complete != "" {
		if err := CheckURL(complete); err != nil {
			return nil, fmt.Errorf("%w: its verification_uri_complete: %w", ErrMalformed, err)
		}
		// The user reads one URL: the QR code must not lead to another host.
		if !sameHost(complete, answer.VerificationURI) {
			answer.VerificationURIComplete = ""
		}
	}
	life := cmp.Or(parseSeconds(answer.ExpiresIn, maxCodeLife), defaultCodeLife)
	return &DeviceAuthorization{
		UserCode:                userCode,
		VerificationURI:         answer.VerificationURI,
		VerificationURIComplete: answer.VerificationURIComplete,
		ExpiresAt:               now.Add(life),
		deviceCode:              secret.New(answer.DeviceCode),
		// The server's interval is a minimum, so its only upper bound is the code's
		// lifetime.
		interval: max(cmp.Or(parseSeconds(answer.Interval, life), defaultInterval), time.Second),
	}, nil
}

// DeviceToken polls for the token until the user has finished, the code expires
// (ErrDeviceExpired) or ctx ends. While the server is unavailable it polls less and less
// often (RFC 8628 §3.5).
func (c *Client) DeviceToken(ctx context.Context, d *DeviceAuthorization) (*TokenResponse, error) {
	ctx, cancel := context.WithDeadlineCause(ctx, time.Now().Add(d.ExpiresAt.Sub(c.Now())), ErrDeviceExpired)
	defer cancel()
	for interval := d.interval; ; {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(max(interval, c.retryAfter)):
		}
		if !c.Now().Before(d.ExpiresAt) { // the interval was cut to the code's lifetime
			return nil, ErrDeviceExpired
		}
		response, err := c.grantOnce(ctx, Target{Resource: d.resource}.form(url.Values{
			"grant_type":  {GrantDeviceCode},
			"device_code": {d.deviceCode.Reveal()},
		}))
		if ctx.Err() != nil && err != nil {
			return nil, context.Cause(ctx)
		}
		if err == nil {
			return response, nil
		}
		if interval, err = nextPoll(interval, err); err != nil {
			return nil, err
		}
	}
}

// nextPoll returns the time before the next poll, or the error that ends the login.
func nextPoll(interval time.Duration, err error) (time.Duration, error) {
	if refusal, ok := errors.AsType[*Error](err); ok {
		switch refusal.Code {
		case "authorization_pending":
			return interval, nil
		case "slow_down":
			return interval + slowDownBy, nil
		case "expired_token":
			return interval, ErrDeviceExpired
		case "access_denied", "authorization_declined": // Microsoft's
			return interval, &AuthorizationError{Code: refusal.Code, Description: refusal.Description}
		}
	}
	if errors.Is(err, ErrUnavailable) {
		return interval + min(interval, maxBackoff), nil // RFC 8628 §3.5: exponential, then by a minute
	}
	return interval, err
}
