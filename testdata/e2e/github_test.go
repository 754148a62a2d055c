package e2e

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/fobcli/fob/internal/destination/destinationtest"
)

// published is what GitHub has published of its API; openapi.mjs says how it came here.
func published(t *testing.T) routers.Router {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("github-openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return router
}

// checkExchange holds a request and its answer against the published description.
func checkExchange(router routers.Router, r *http.Request, body []byte, answer *httptest.ResponseRecorder) error {
	route, params, err := router.FindRoute(r)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: &openapi3filter.Options{MultiError: true}}
	if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
		return err
	}
	if answer.Code == http.StatusNotFound || answer.Code == http.StatusUnprocessableEntity || strings.HasSuffix(route.Path, "/repositories") {
		return nil // errors are not described for each; the double's repositories have an id alone
	}
	return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: answer.Code, Header: answer.Result().Header, Body: io.NopCloser(bytes.NewReader(answer.Body.Bytes())),
	})
}

// GitHub cannot be had here: what fob sends its double is held against the description
// that GitHub has published, and so is what the double answers.
func TestGitHubAsPublished(t *testing.T) {
	t.Parallel()
	router := published(t)
	double := destinationtest.NewGitHub(t)
	const repo, environment, org = "/repos/acme/web/actions/secrets/API_KEY", "/repos/acme/web/environments/production/secrets/API_KEY", "/orgs/acme/actions/secrets/API_KEY"
	double.Bodies[org] = destinationtest.GitHubSecret{Visibility: "selected"}
	double.Rotates = 1 // GitHub takes a new key between two requests
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		double.ServeHTTP(answer, r)
		if err := checkExchange(router, r, body, answer); err != nil {
			t.Errorf("%s %s: %v\n%s\n%d %s", r.Method, r.URL, err, body, answer.Code, answer.Body)
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	defer server.Close()
	m := newMachineAt(t, append(slices.Clone(sealed), "GITHUB_API_URL="+server.URL, "GH_TOKEN="+destinationtest.GitHubToken)...)
	m.ok("key", "create", "--owner", "shop", "--to", "github:acme/web#API_KEY", "--to", "github:acme/web@production#API_KEY", "--to", "github:org:acme#API_KEY")
	everywhere := func(what string) string {
		t.Helper()
		value, _ := double.Held(repo)
		inEnvironment, _ := double.Held(environment)
		inOrg, how := double.Held(org)
		if strings.Count(value, "_") != 3 || inEnvironment != value || inOrg != value {
			t.Fatalf("%s: %q, %q, %q", what, value, inEnvironment, inOrg)
		}
		if how.Visibility != "selected" || len(how.Repositories) != 2 {
			t.Errorf("%s: the organization's secret is shown to %+v", what, how)
		}
		return value
	}
	first := everywhere("created")
	m.ok("key", "rotate", strings.Split(first, "_")[2], "--compromised")
	if everywhere("rotated") == first {
		t.Error("the rotation has delivered nothing")
	}
	m.fob("sk_canary\n", "secret", "set", "stripe/prod", "--to", "github:acme/web#STRIPE_KEY")
	m.ok("secret", "push", "stripe/prod")
	if value, _ := double.Held("/repos/acme/web/actions/secrets/STRIPE_KEY"); value != "sk_canary" {
		t.Errorf("pushed: %q", value)
	}
}

// The description refuses what GitHub would refuse.
func TestGitHubsDescriptionRefuses(t *testing.T) {
	t.Parallel()
	router := published(t)
	const secret = "/repos/acme/web/actions/secrets/A"
	for name, c := range map[string]struct{ method, path, body string }{
		"no key id":              {"PUT", secret, `{"encrypted_value":"AAAA"}`},
		"a box that is not":      {"PUT", secret, `{"encrypted_value":"!","key_id":"1"}`},
		"another visibility":     {"PUT", "/orgs/acme/actions/secrets/A", `{"encrypted_value":"AAAA","key_id":"1","visibility":"mine"}`},
		"no visibility":          {"PUT", "/orgs/acme/actions/secrets/A", `{"encrypted_value":"AAAA","key_id":"1"}`},
		"another method":         {"POST", secret, `{"encrypted_value":"AAAA","key_id":"1"}`},
		"a path that is not one": {"PUT", "/repos/acme/web/secrets/A", `{"encrypted_value":"AAAA","key_id":"1"}`},
	} {
		r := httptest.NewRequest(c.method, "https://api.github.com"+c.path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		answer.WriteHeader(http.StatusNotFound)
		if err := checkExchange(router, r, []byte(c.body), answer); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
