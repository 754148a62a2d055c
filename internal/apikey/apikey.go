// Package apikey implements API keys: their format, how they are hashed and verified, what
// they may do, and how they are replaced. A Registry stores them.
//
// A key is in one of five states:
//
//	        create, import
//	              │
//	disabled ◄──► active ──── rotate ───► retiring
//	    │         │    │                   │   │
//	    │  revoke │    │ expires_at        │   │ end of overlap,
//	    ▼         ▼    ▼                   │   ▼ or revoke
//	  revoked ◄───┘  expired ◄─────────────┘  revoked
//
// Revoked is final: it is recorded in RevokedAt, independent of the clock. The end of an
// overlap is recorded there at the next change of the registry. Expired and retiring are
// computed from ExpiresAt, RetiresAt and the time.
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
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/fobcli/fob/internal/secret"
)

// A key is <brand>_<environment>_<id>_<secret><crc>, in ASCII without word separators, so
// that a double-click selects all of it.
const (
	secretLength   = 32 // 190.5 random bits
	checksumLength = 6  // CRC-32/IEEE of everything before it, in base 62
	maxBrand       = 12
	maxEnvironment = 12

	// IDLength is the length of an id: the format version, then 65.5 random bits.
	IDLength = 12
	// MaxLength is the length of the longest key in bytes.
	MaxLength = maxBrand + 1 + maxEnvironment + BehindEnvironment
	// BehindEnvironment is the length of what follows the environment in bytes.
	BehindEnvironment = 1 + IDLength + 1 + secretLength + checksumLength

	// The first character of an id is where the key was issued.
	versionImported = '0' // elsewhere: the rest is derived from the key's digest
	versionMinted   = '1' // here, in this format
)

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Why a text is not a key in this format.
var (
	ErrFormat   = errors.New("this is not an API key of fob's format")
	ErrChecksum = errors.New("the key's checksum is wrong: a character was lost or changed")
)

// Parts are the public parts of a key.
type Parts struct {
	Brand       string // who issued it
	Environment string // what it is for: live, test
	ID          string // 12 characters: its name in the registry, in logs and in commands
}

// Minted is a new key, the only copy of its text.
type Minted struct {
	Parts
	Key    secret.Secret
	Digest Digest
}

// Mint creates a key of a brand ([a-z][a-z0-9]{1,11}) for an environment ([a-z0-9]{2,12}).
func Mint(brand, environment string) (Minted, error) {
	if err := CheckBrand(brand); err != nil {
		return Minted{}, err
	}
	if err := CheckEnvironment(environment); err != nil {
		return Minted{}, err
	}
	id := string(versionMinted) + randomText(IDLength-1)
	text := brand + "_" + environment + "_" + id + "_" + randomText(secretLength)
	sum := checksum(text)
	text += string(sum[:])
	return Minted{
		Parts:  Parts{Brand: brand, Environment: environment, ID: id},
		Key:    secret.New(text),
		Digest: DigestOf(text),
	}, nil
}

// randomText returns random characters, each equally likely: bytes that would favour some
// of them are skipped.
func randomText(length int) string {
	text := make([]byte, 0, length)
	var block [64]byte
	for {
		_, _ = io.ReadFull(rand.Reader, block[:]) // never fails: crypto/rand ends the program first
		for _, b := range block {
			if b >= 256/62*62 {
				continue
			}
			if text = append(text, alphabet[b%62]); len(text) == length {
				return string(text)
			}
		}
	}
}

// checksum detects typos and random matches; it proves nothing. It equals
// crc32.ChecksumIEEE without copying the text to the heap.
func checksum(text string) (digits [checksumLength]byte) {
	crc := ^uint32(0)
	for i := range len(text) {
		crc = crc32.IEEETable[byte(crc)^text[i]] ^ crc>>8
	}
	putBase62(digits[:], uint64(^crc))
	return digits
}

// putBase62 writes n with leading zeros.
func putBase62(digits []byte, n uint64) {
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = alphabet[n%62]
		n /= 62
	}
}

// Parse parses the public parts of a key and checks its checksum, without allocating. The
// errors are ErrFormat and ErrChecksum.
func Parse(text string) (Parts, error) {
	if len(text) > MaxLength {
		return Parts{}, ErrFormat
	}
	brand, rest, _ := strings.Cut(text, "_")
	environment, rest, _ := strings.Cut(rest, "_")
	id, tail, found := strings.Cut(rest, "_")
	if !found || CheckBrand(brand) != nil || CheckEnvironment(environment) != nil ||
		CheckID(id) != nil || id[0] != versionMinted || !isBase62(tail, secretLength+checksumLength) {
		return Parts{}, ErrFormat
	}
	sum := checksum(text[:len(text)-checksumLength])
	if string(sum[:]) != text[len(text)-checksumLength:] {
		return Parts{}, ErrChecksum
	}
	return Parts{Brand: brand, Environment: environment, ID: id}, nil
}

// LooksLikeKey reports whether a text contains something like a key. Such a text must never
// be shown, stored or logged.
func LooksLikeKey(text string) bool {
	for at := 0; ; at++ {
		next := strings.IndexByte(text[at:], '_')
		if next < 0 {
			return false
		}
		at += next
		id, tail, found := strings.Cut(text[at+1:], "_")
		if found && isBase62(id, IDLength) && len(tail) >= secretLength && isBase62(tail[:secretLength], secretLength) {
			return true
		}
	}
}

var (
	errBrand       = errors.New("a brand is 2 to 12 characters of a-z and 0-9, and starts with a letter")
	errEnvironment = errors.New("an environment is 2 to 12 characters of a-z and 0-9")
	errID          = errors.New("a key's id is 12 characters of 0-9, A-Z and a-z")
)

// CheckBrand rejects invalid brands.
func CheckBrand(brand string) error {
	if !isLower(brand, maxBrand) || brand[0] <= '9' {
		return errBrand
	}
	return nil
}

// CheckEnvironment rejects invalid environments.
func CheckEnvironment(environment string) error {
	if !isLower(environment, maxEnvironment) {
		return errEnvironment
	}
	return nil
}

// CheckID rejects invalid key ids.
func CheckID(id string) error {
	if !isBase62(id, IDLength) {
		return errID
	}
	return nil
}

func isLower(text string, longest int) bool {
	if len(text) < 2 || len(text) > longest {
		return false
	}
	for i := range len(text) {
		if c := text[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func isBase62(text string, length int) bool {
	if len(text) != length {
		return false
	}
	all := uint64(1)
	for i := range len(text) {
		all &= base62Bits[text[i]>>6] >> (text[i] & 63)
	}
	return all&1 == 1
}

// base62Bits has a bit for each byte of the alphabet, to avoid branches: on random text,
// the processor would mispredict half of them.
var base62Bits = [4]uint64{(1<<10 - 1) << '0', (1<<26-1)<<('A'&63) | (1<<26-1)<<('a'&63)}

// Format is the format of new keys.
type Format struct {
	Brand        string
	Environments []string
}

// DefaultFormat is the format unless the user configures one.
var DefaultFormat = Format{Brand: "fob", Environments: []string{"test", "dev", "staging", "live"}}

// Check rejects formats that are not valid.
func (f Format) Check() error {
	if err := CheckBrand(f.Brand); err != nil {
		return fmt.Errorf("brand %.80q: %w", f.Brand, err)
	}
	for _, environment := range f.Environments {
		if err := CheckEnvironment(environment); err != nil {
			return fmt.Errorf("environment %.80q: %w", environment, err)
		}
	}
	if len(f.Environments) == 0 {
		return errors.New("there must be an environment")
	}
	return nil
}

// Digest is what a registry stores of a key's text: its SHA-256, or with a pepper its
// HMAC-SHA-256 (RFC 2104). 190 random bits need no slow hash.
type Digest [sha256.Size]byte

// DigestOf returns the SHA-256 of a key's text, without allocating for keys in fob's
// format.
func DigestOf(text string) Digest {
	var buffer [MaxLength]byte
	return sha256.Sum256(append(buffer[:0], text...))
}

// Pepper is a secret without which no digest can be verified: a stolen registry does not
// even allow guessing keys.
type Pepper struct {
	ID     string // its name in the registry's rows
	Secret []byte // 32 bytes
}

// Hash returns the HMAC-SHA-256 of a key's text with the pepper, or its SHA-256 without one
// (nil).
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

// ParseDigest parses a SHA-256 in hex or base64.
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

// ImportedID derives the id of a key issued elsewhere from its SHA-256, so that it can be
// looked up by its text, and importing it twice adds it once.
func ImportedID(d Digest) string {
	id := make([]byte, IDLength)
	putBase62(id, binary.BigEndian.Uint64(d[:]))
	id[0] = versionImported // 62^11 exceeds 2^64: no digit is lost
	return string(id)
}

// MayHaveID reports whether a key with this SHA-256 may have an id. Other keys must not be
// able to take an imported key's id.
func MayHaveID(id string, d Digest) bool {
	return id[0] == versionMinted || id == ImportedID(d)
}

// minPepper is the minimum length of a pepper in bytes (RFC 2104 §3: the hash's length).
const minPepper = 32

// ParsePepper parses a pepper's secret in hex or base64.
func ParsePepper(text string) ([]byte, error) {
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if value, err := decode(text); err == nil && len(value) >= minPepper {
			return value, nil
		}
	}
	return nil, errors.New("invalid pepper")
}

// NewPepper returns a random pepper of 32 bytes.
func NewPepper() []byte {
	value := make([]byte, sha256.Size)
	_, _ = rand.Read(value) // never fails: crypto/rand ends the program first
	return value
}
