package seal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/c2sp/wycheproof"
)

// vector is one test of Project Wycheproof; each kind fills what it needs.
type vector struct {
	ID      int `json:"tcId"`
	Comment string
	Result  string // valid or invalid

	IKM, Salt, Info, OKM hexBytes
	Size                 int

	Key, IV, AAD, Msg, CT, Tag hexBytes
}

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

func vectors(t *testing.T, file string) []vector {
	t.Helper()
	text, err := fs.ReadFile(wycheproof.TestVectors, file)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		NumberOfTests int
		TestGroups    []struct{ Tests []vector }
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	var list []vector
	for _, group := range all.TestGroups {
		list = append(list, group.Tests...)
	}
	if len(list) == 0 || len(list) != all.NumberOfTests {
		t.Fatalf("%d tests of %d", len(list), all.NumberOfTests)
	}
	return list
}

func TestWycheproofHKDF(t *testing.T) {
	for _, v := range vectors(t, "hkdf_sha256_test.json") {
		got, err := expand(v.IKM, v.Salt, string(v.Info), v.Size)
		if valid := err == nil && bytes.Equal(got, v.OKM); valid != (v.Result == "valid") {
			t.Errorf("%d (%s): %v, wanted %s", v.ID, v.Comment, err, v.Result)
		}
	}
}

func TestWycheproofXChaCha20Poly1305(t *testing.T) {
	for _, v := range vectors(t, "xchacha20_poly1305_test.json") {
		aead, err := newAEAD(v.Key)
		if err != nil || len(v.IV) != aead.NonceSize() {
			if v.Result == "valid" {
				t.Errorf("%d (%s): %v", v.ID, v.Comment, err)
			}
			continue
		}
		sealed := append(bytes.Clone(v.CT), v.Tag...)
		got, err := aead.Open(nil, v.IV, sealed, v.AAD)
		if valid := err == nil && bytes.Equal(got, v.Msg); valid != (v.Result == "valid") {
			t.Errorf("%d (%s): %v, wanted %s", v.ID, v.Comment, err, v.Result)
		}
		if again := aead.Seal(nil, v.IV, v.Msg, v.AAD); v.Result == "valid" && !bytes.Equal(again, sealed) {
			t.Errorf("%d (%s): sealed otherwise", v.ID, v.Comment)
		}
	}
}
