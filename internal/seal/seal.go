// Package seal encrypts and authenticates bytes with a key, bound to their purpose.
//
// Version 1 is
//
//	"fob1" | alg(1) | keyID(8) | contextID(8) | nonce(24) | ciphertext and tag
//
// alg 1 is XChaCha20-Poly1305 with HKDF-SHA256(key, kind). The header and the context are
// authenticated. The header contains hashes of key and context, so that a wrong key, an
// edited profile and tampering have different errors.
package seal

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/fobcli/fob/internal/secret"
)

// Why an envelope cannot be opened.
var (
	ErrFormat       = errors.New("not a sealed fob record")
	ErrWrongKey     = errors.New("sealed under another key")
	ErrWrongContext = errors.New("sealed for another profile, issuer or client")
	ErrTampered     = errors.New("the sealed bytes were changed")
)

const (
	magic       = "fob1"
	algXChaCha  = 1
	algAt       = len(magic)
	keyIDAt     = algAt + 1
	contextIDAt = keyIDAt + idSize
	nonceAt     = contextIDAt + idSize
	headerSize  = nonceAt + chacha20poly1305.NonceSizeX
	idSize      = 8
)

// Key is 32 secret bytes. Using the zero value panics.
type Key struct{ value secret.Secret }

// NewKey returns a random key.
func NewKey() Key {
	key := make([]byte, chacha20poly1305.KeySize)
	_, _ = rand.Read(key) // never fails, by its documentation
	return Key{secret.New(string(key))}
}

// KeyFromBytes returns the key with these 32 bytes.
func KeyFromBytes(b []byte) (Key, error) {
	if len(b) != chacha20poly1305.KeySize {
		return Key{}, fmt.Errorf("a key has %d bytes, not %d", chacha20poly1305.KeySize, len(b))
	}
	return Key{secret.New(string(b))}, nil
}

// Bytes returns the key's 32 bytes.
func (k Key) Bytes() []byte { return []byte(k.value.Reveal()) }

// ID identifies the key without revealing it.
func (k Key) ID() [idSize]byte { return [idSize]byte(k.derive("key id", idSize)) }

// Format redacts the key.
func (k Key) Format(f fmt.State, verb rune) { k.value.Format(f, verb) }

// derive is HKDF-SHA256 (RFC 5869) for a purpose.
func (k Key) derive(purpose string, size int) []byte {
	if k.value.IsZero() {
		panic("seal: no key")
	}
	derived, err := expand(k.Bytes(), nil, "fob1 "+purpose, size)
	if err != nil {
		panic(err) // only for sizes that no caller passes
	}
	return derived
}

// The two primitives, tested with published vectors.

func expand(key, salt []byte, info string, size int) ([]byte, error) {
	return hkdf.Key(sha256.New, key, salt, info, size)
}

func newAEAD(key []byte) (cipher.AEAD, error) { return chacha20poly1305.NewX(key) }

func (k Key) aead(c Context) cipher.AEAD {
	aead, err := newAEAD(k.derive("seal "+c.Kind, chacha20poly1305.KeySize))
	if err != nil {
		panic(err) // only for another key size
	}
	return aead
}

// Context is what sealed bytes are bound to: they cannot be opened with another one.
type Context struct{ Kind, Profile, Issuer, ClientID string }

// bytes encodes the context unambiguously: each field after its length.
func (c Context) bytes() []byte {
	var b []byte
	for _, field := range []string{c.Kind, c.Profile, c.Issuer, c.ClientID} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
		b = append(b, field...)
	}
	return b
}

func (c Context) id() []byte {
	sum := sha256.Sum256(c.bytes())
	return sum[:idSize]
}

// Seal returns the sealed plaintext.
func (k Key) Seal(c Context, plaintext []byte) []byte {
	keyID := k.ID()
	header := make([]byte, 0, headerSize+len(plaintext)+chacha20poly1305.Overhead)
	header = append(header, magic...)
	header = append(header, algXChaCha)
	header = append(header, keyID[:]...)
	header = append(header, c.id()...)
	header = header[:headerSize]
	_, _ = rand.Read(header[nonceAt:])
	return k.aead(c).Seal(header, header[nonceAt:], plaintext, additionalData(header, c))
}

// Open returns the plaintext. The error is ErrFormat, ErrWrongKey, ErrWrongContext or
// ErrTampered.
func (k Key) Open(c Context, envelope []byte) ([]byte, error) {
	if len(envelope) < headerSize+chacha20poly1305.Overhead || string(envelope[:algAt]) != magic || envelope[algAt] != algXChaCha {
		return nil, ErrFormat
	}
	header, ciphertext := envelope[:headerSize], envelope[headerSize:]
	if keyID := k.ID(); !bytes.Equal(header[keyIDAt:contextIDAt], keyID[:]) {
		return nil, ErrWrongKey
	}
	if !bytes.Equal(header[contextIDAt:nonceAt], c.id()) {
		return nil, ErrWrongContext
	}
	plaintext, err := k.aead(c).Open(nil, header[nonceAt:], ciphertext, additionalData(header, c))
	if err != nil {
		return nil, ErrTampered
	}
	return plaintext, nil
}

// Claim returns what an envelope claims to contain for a context of which only the kind is
// known. It is not authenticated: use it only to find the context that opens the envelope.
func (k Key) Claim(c Context, envelope []byte) ([]byte, error) {
	if _, err := k.Open(Context{}, envelope); !errors.Is(err, ErrWrongContext) {
		return nil, err
	}
	stream, err := chacha20.NewUnauthenticatedCipher(k.derive("seal "+c.Kind, chacha20.KeySize), envelope[nonceAt:headerSize])
	if err != nil {
		return nil, err
	}
	stream.SetCounter(1) // the first block is the authenticator's key (RFC 8439 §2.6)
	plaintext := bytes.Clone(envelope[headerSize : len(envelope)-chacha20poly1305.Overhead])
	stream.XORKeyStream(plaintext, plaintext)
	return plaintext, nil
}

func additionalData(header []byte, c Context) []byte {
	return append(bytes.Clone(header), c.bytes()...)
}
