package authservertest

import "net/http"

// serveMetadata is RFC 8414 §3 and OpenID Connect Discovery §4.
func (s *Server) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	url := s.Issuer()
	m := map[string]any{
		"issuer":                           url,
		"authorization_endpoint":           url + "/authorize",
		"token_endpoint":                   url + "/token",
		"userinfo_endpoint":                url + "/userinfo",
		"device_authorization_endpoint":    url + "/device_authorization",
		"scopes_supported":                 []string{"openid", "profile", "email", "offline_access", "reports:read"},
		"response_types_supported":         []string{"code"},
		"grant_types_supported":            []string{grantCode, grantRefresh, grantClient, grantDevice, grantExchange, grantAssertion},
		"code_challenge_methods_supported": []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{
			"none", "client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt",
		},
		"token_endpoint_auth_signing_alg_values_supported": anyAlgorithm,
		"dpop_signing_alg_values_supported":                proofAlgorithms,
		"authorization_response_iss_parameter_supported":   true,
	}
	if s.opts.NoIss {
		delete(m, "authorization_response_iss_parameter_supported")
	}
	if !s.opts.NoOpenID {
		m["jwks_uri"] = url + "/jwks"
		m["id_token_signing_alg_values_supported"] = []string{"RS256"}
		m["end_session_endpoint"] = url + "/end-session"
	}
	if !s.opts.NoRevocation {
		m["revocation_endpoint"] = url + "/revoke"
	}
	if s.opts.PAR || s.opts.RequirePAR {
		m["pushed_authorization_request_endpoint"] = url + "/par"
	}
	if s.opts.RequirePAR {
		m["require_pushed_authorization_requests"] = true
	}
	if s.opts.Registration {
		m["registration_endpoint"] = url + "/register"
	}
	if s.opts.ClientURLs {
		m["client_id_metadata_document_supported"] = true
	}
	if s.opts.TLS {
		s.addMutualTLS(m)
	}
	s.answer(w, "discovery", m)
}

// addMutualTLS adds what RFC 8705 §3.3 and §5 do. The aliases are on the same host:
// the server asks everybody for a certificate.
func (s *Server) addMutualTLS(m map[string]any) {
	m["token_endpoint_auth_methods_supported"] = append(m["token_endpoint_auth_methods_supported"].([]string), "tls_client_auth", "self_signed_tls_client_auth")
	m["tls_client_certificate_bound_access_tokens"] = true
	aliases := map[string]any{}
	for _, name := range []string{
		"token_endpoint", "revocation_endpoint", "userinfo_endpoint", "device_authorization_endpoint", "pushed_authorization_request_endpoint",
	} {
		if endpoint, ok := m[name]; ok {
			aliases[name] = endpoint
		}
	}
	m["mtls_endpoint_aliases"] = aliases
}
