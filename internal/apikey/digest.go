package apikey

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
)

// Digest is all that a registry keeps of a key's text: its SHA-256, or with a
// pepper its HMAC-SHA-256 (RFC 2104). 190 random bits need no slow hash.
type Digest [sha256.Size]byte

// DigestOf is the SHA-256 of a key's whole text. It allocates nothing for a key of
// fob's format.
func DigestOf(text string) Digest {
	var buffer [MaxLength]byte
	return sha256.Sum256(append(buffer[:0], text...))
}

// Pepper is a secret that a digest cannot be checked without: who has the registry
// alone cannot even try a key.
type Pepper struct {
	ID     string // its name in the registry's rows
	Secret []byte // 32 bytes
}

// Hash is the digest of a key's whole text: its HMAC-SHA-256 under the pepper, or
// without one (nil) its SHA-256.
func Hash(text string, pepper *Pepper) Digest {
	if pepper == nil {
		return DigestOf(text)
	}
	mac := hmac.New(sha256.New, pepper.Secret)
	mac.Write([]byte(text))
	return Digest(mac.Sum(nil))
}

// Equal compares in constant time.
func (d Digest) Equal(other Digest) bool { return subtle.ConstantTimeCompare(d[:], other[:]) == 1 }

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

var errDigest = errors.New("a SHA-256 is 64 hexadecimal digits, or 32 bytes in base64")

// ParseDigest reads a SHA-256 in hex or base64.
func ParseDigest(text string) (Digest, error) {
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.URLEncoding.DecodeString,
		base64.RawStdEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if raw, err := decode(text); err == nil && len(raw) == sha256.Size {
			return Digest(raw), nil
		}
	}
	return Digest{}, errDigest
}

// ImportedID names a key that was made elsewhere by its own SHA-256, so that it is
// found by what it is, and imported twice is imported once.
func ImportedID(d Digest) string {
	id := make([]byte, IDLength)
	putBase62(id, binary.BigEndian.Uint64(d[:]))
	id[0] = versionImported // 62^11 is more than 2^64: no digit is lost
	return string(id)
}

// MayHaveID reports whether a text of this SHA-256 may be looked up under an id: another row
// would only be in the way of the key that has the id.
func MayHaveID(id string, d Digest) bool {
	return id[0] == versionMinted || id == ImportedID(d)
}

// minPepper is how many bytes a pepper has at least (RFC 2104 §3: the hash's length).
const minPepper = 32

// ParsePepper reads the secret of a pepper in hex or base64.
func ParsePepper(text string) ([]byte, error) {
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if value, err := decode(text); err == nil && len(value) >= minPepper {
			return value, nil
		}
	}
	return nil, errors.New("invalid pepper")
}

// NewPepper draws the secret of a pepper: 32 bytes.
func NewPepper() []byte {
	value := make([]byte, sha256.Size)
	_, _ = rand.Read(value) // never fails: crypto/rand ends the program first
	return value
}
