package session

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/jwt"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/seal"
)

// A profile that was rebuilt from the record opens it.
func TestProfileOf(t *testing.T) {
	const server = "https://sso.example.com"
	github, _ := config.FindProvider("github")
	for name, test := range map[string]struct {
		profile  config.Profile
		metadata discovery.Metadata
		change   func(*record)
		want     config.Profile
	}{
		"an issuer": {
			config.Profile{Issuer: server, ClientID: "c"}, discovery.Metadata{Issuer: server}, func(*record) {},
			config.Profile{Issuer: server, ClientID: "c", RedirectURI: "http://127.0.0.1/callback/{issuer}"},
		},
		"a preset": {
			config.Profile{Provider: "github", ClientID: "c"}, discovery.Metadata{Issuer: github.Issuer, TokenEndpoint: github.TokenEndpoint}, func(*record) {},
			config.Profile{Provider: "github", ClientID: "c", RedirectURI: github.RedirectURI},
		},
		"endpoints": {
			config.Profile{TokenEndpoint: server + "/t", ClientID: "c"}, discovery.Metadata{TokenEndpoint: server + "/t", RevocationEndpoint: server + "/r"}, func(*record) {},
			config.Profile{TokenEndpoint: server + "/t", RevocationEndpoint: server + "/r", ClientID: "c", RedirectURI: "http://127.0.0.1/callback/{issuer}"},
		},
		"a client's own login": {
			config.Profile{Issuer: server, ClientID: "c"}, discovery.Metadata{Issuer: server}, func(r *record) {
				r.Grant, r.Scope, r.Resource, r.AuthMethod, r.Audience = config.GrantClientCredentials, "a b", server+"/api", oauth.AuthKeyJWT, "endpoint"
			},
			config.Profile{Issuer: server, ClientID: "c", Grant: config.GrantClientCredentials, Scopes: []string{"a", "b"}, Resources: []string{server + "/api"}, TokenEndpointAuthMethod: oauth.AuthKeyJWT, ClientAssertionAudience: "endpoint"},
		},
		"DPoP": {
			config.Profile{Issuer: server, ClientID: "c"}, discovery.Metadata{Issuer: server}, func(r *record) {
				key, err := jwt.Generate()
				if err != nil {
					t.Fatal(err)
				}
				r.DPoPKey = sealedSecret{key.Private()}
			},
			config.Profile{Issuer: server, ClientID: "c", DPoP: true, RedirectURI: "http://127.0.0.1/callback/{issuer}"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, authservertest.Options{})
			f.Profile = test.profile
			f.Profile.Name = "work"
			f.Profile = f.Profile.WithProvider()
			r := &record{head: head{Version: recordVersion, CacheKey: sealedSecret{newCacheKey()}}, body: body{ClientID: "c", Metadata: &test.metadata}}
			test.change(r)
			if err := f.save(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			test.want.Name, test.want.Storage = "work", "file"
			got, err := ProfileOf(t.Context(), f.Store, "work")
			if set, removed := config.Changes(test.want, got); err != nil || len(set)+len(removed) > 0 || got.Name != "work" {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// The claims of a changed record are not used.
func TestProfileOf_Changed(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	path := filepath.Join(f.Paths.Data, "records", "login", "work")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := f.Store.Get(t.Context(), f.context())
	if err != nil {
		t.Fatal(err)
	}
	host := bytes.Index(stored.Body, []byte("127.0.0.1"))
	at := len(good) - 16 - len(stored.Body) + host // the cipher is a stream
	changed := bytes.Clone(good)
	changed[at] ^= '1' ^ '9'
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	claimed, err := f.Store.Claims().Get(t.Context(), f.context())
	if err != nil || !bytes.Contains(claimed.Body, []byte("927.0.0.1")) {
		t.Fatalf("the change is not seen: %v", err)
	}
	if p, err := ProfileOf(t.Context(), f.Store, "work"); !errors.Is(err, seal.ErrWrongContext) {
		t.Errorf("%+v, %v", p, err)
	}
	for at := range good {
		changed := slices.Clone(good)
		changed[at] ^= 1
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err := ProfileOf(t.Context(), f.Store, "work"); err == nil {
			t.Fatalf("byte %d changed: %+v", at, p)
		}
	}
}

// What the first read claims does not outlive it, even if the honest record is put back before
// the second.
func TestI85_ProfileOf_ChangedForOneRead(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	key, reads, put := seal.NewKey(), 0, func() {}
	f.Store = credstore.NewFile(credstore.FileOptions{DataDir: f.Paths.Data, Key: func(context.Context, bool) (seal.Key, error) {
		if reads++; reads == 1 { // the first read has read the file
			put()
		}
		return key, nil
	}})
	f.mustLogin()
	path := filepath.Join(f.Paths.Data, "records", "login", "work")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := f.Store.Get(t.Context(), f.context())
	if err != nil {
		t.Fatal(err)
	}
	want, err := ProfileOf(t.Context(), f.Store, "work")
	if err != nil || len(want.Scopes) == 0 {
		t.Fatal(want, err)
	}
	at := len(good) - 16 - len(stored.Body) + bytes.Index(stored.Body, []byte(`"scope":"`)) + len(`"scope":"`)
	changed := bytes.Clone(good)
	changed[at] ^= 1
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	reads, put = 0, func() {
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Error(err)
		}
	}
	got, err := ProfileOf(t.Context(), f.Store, "work")
	if err != nil || reads < 2 || !slices.Equal(got.Scopes, want.Scopes) {
		t.Errorf("%d reads: %+v, %v", reads, got, err)
	}
}
