package oauth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/secret"
)

// Accounts without any identifier may share a name.
func TestI69_AccountsWithoutASubjectDiffer(t *testing.T) {
	login := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"login": %q, "name": "Ada"}`, login)
	}))
	defer server.Close()
	c := &Client{HTTP: server.Client(), Metadata: &discovery.Metadata{UserinfoEndpoint: server.URL}}
	for _, login = range []string{"ada", "eve"} {
		info, err := c.Userinfo(t.Context(), secret.New("token"), "")
		if err != nil || info.Subject != login || info.Name != "Ada" {
			t.Errorf("%s: %+v, %v", login, info, err)
		}
	}
}
