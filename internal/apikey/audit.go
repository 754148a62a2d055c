package apikey

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Event describes a change.
type Event struct {
	At     time.Time // UTC, to the millisecond
	Actor  string    // user@host, as claimed by the client
	Action string
	Detail string // for humans
}

// Actions in the audit log.
const (
	ActionCreate  = "create"
	ActionImport  = "import"
	ActionUpdate  = "update"
	ActionRotate  = "rotate"  // a replacement was issued
	ActionDeliver = "deliver" // the replacement was delivered to its destinations
	ActionAbandon = "abandon" // an unfinished rotation was abandoned, and its replacement revoked
	ActionRetire  = "retire"  // the old key was replaced, and will expire
	ActionRevoke  = "revoke"
	ActionRehash  = "rehash" // the digest was replaced by one with the current pepper
	ActionPepper  = "pepper" // the current pepper changed: its id is the detail
	// ActionRevokeAll revoked many keys: its detail begins with their number, and its key sum is
	// Digest.With of all. Each ActionRevoked then completed one record, in the same order.
	ActionRevokeAll = "revoke-all"
	ActionRevoked   = "revoked"
)

// Entry is an entry of the audit log, which is also the change log. Sequence numbers have
// no gaps, and each entry's hash covers the previous entry.
type Entry struct {
	Seq int64 // from 1
	Event
	KeyID  string // "" if it is about no single key
	KeySum Digest // Record.Sum of the key after the change
	Hash   Digest
}

// Head is the last entry of a log. A stored head proves later that nothing up to it was
// changed or removed. It is written SEQ:HASH.
type Head struct {
	Seq  int64
	Hash Digest
}

func (h Head) String() string { return fmt.Sprintf("%d:%s", h.Seq, h.Hash) }

// ParseHead parses the output of Head.String.
func ParseHead(text string) (Head, error) {
	seq, hash, _ := strings.Cut(text, ":")
	n, err := strconv.ParseInt(seq, 10, 64)
	raw, hexErr := hex.DecodeString(hash)
	if err != nil || n < 0 || hexErr != nil || len(raw) != sha256.Size {
		return Head{}, errors.New("a head of the audit log is SEQ:HASH, as 'fob key audit --verify' prints it")
	}
	return Head{Seq: n, Hash: Digest(raw)}, nil
}

// Next appends an entry, which becomes the head.
func (h *Head) Next(e Event, keyID string, sum Digest) Entry {
	entry := Entry{Seq: h.Seq + 1, Event: e, KeyID: keyID, KeySum: sum}
	entry.Hash = entry.hash(h.Hash)
	*h = Head{Seq: entry.Seq, Hash: entry.Hash}
	return entry
}

// hash returns the SHA-256 of the previous hash and of all fields, each text after its
// length.
func (e *Entry) hash(before Digest) Digest {
	b := make([]byte, 0, 512)
	b = append(b, before[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Seq))
	b = binary.BigEndian.AppendUint64(b, uint64(Milliseconds(e.At)))
	for _, text := range []string{e.Actor, e.Action, e.Detail, e.KeyID} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(text)))
		b = append(b, text...)
	}
	return sha256.Sum256(append(b, e.KeySum[:]...))
}

// Logged is an entry with its key's current record.
type Logged struct {
	Entry
	RecordSeq int64   // the entry that the record names as its last; 0: there is no record
	Record    *Record // if RecordSeq is this entry
	// IsPending means that this is not an entry: it is a key that a bulk revocation, entry Seq, has
	// revoked, and whose record does not show it yet.
	IsPending bool
}

// TamperedError is where a log was changed by something other than fob.
type TamperedError struct{ Reason string }

func (e *TamperedError) Error() string { return e.Reason }

// LogEnd is a registry's current state, to compare with its log.
type LogEnd struct {
	Head    Head
	Keys    int64  // number of keys, with the whole log
	Pending int    // number of revoked keys whose record does not show it yet
	Pepper  string // id of the current pepper
}

// With adds a key of a bulk revocation to the digest of those before it. Their order counts,
// because other keys could be chosen to match a plain sum.
func (d Digest) With(keyID string) Digest { return sha256.Sum256(append(d[:], keyID...)) }

// Auditor verifies a log entry by entry, from the first.
type Auditor struct {
	Since *Head // from an earlier check; may be nil

	head      Head
	pepper    string // the last one in an entry
	added     int64  // keys added by entries
	accounted int64  // keys whose record matches their last entry

	unsettled []Entry // bulk revocations that not all records show yet
	settled   Digest  // of the keys of the first one, as far as their records show it
}

// Check verifies the next entry. The error is a *TamperedError.
func (a *Auditor) Check(l Logged) error {
	switch next := a.head.Seq + 1; {
	case l.IsPending && (len(a.unsettled) == 0 || l.Seq != a.unsettled[0].Seq || !l.At.Equal(a.unsettled[0].At)):
		return a.tampered(otherRevoked)
	case l.IsPending:
		a.settle(l.KeyID)
		return nil
	case l.Seq != next:
		return a.tampered("entry %d of the audit log is missing: the next is %d", next, l.Seq)
	case l.hash(a.head.Hash) != l.Hash:
		return a.tampered("entry %d of the audit log or the one before was edited", next)
	case l.KeyID != "" && l.RecordSeq < l.Seq:
		return a.tampered("the record of key %.12q does not match entry %d of the audit log: it is gone, or an earlier one was put back", l.KeyID, next)
	case l.Record != nil && l.Record.Sum() != l.KeySum:
		return a.tampered("the record of key %.12q does not match entry %d of the audit log", l.KeyID, next)
	case l.Action == ActionRevoked && l.Record != nil && (l.Record.RevokedAt.IsZero() || len(a.unsettled) > 0 && l.Record.RevokedAt.After(a.unsettled[0].At)):
		return a.tampered("the record of key %.12q does not match entry %d of the audit log: it does not show when the key was revoked", l.KeyID, next)
	case a.Since != nil && l.Seq == a.Since.Seq && l.Hash != a.Since.Hash:
		return a.tampered("entry %d differs from the saved head: the log was rewritten, or is that of another registry", next)
	}
	a.head = Head{Seq: l.Seq, Hash: l.Hash}
	if l.Record != nil {
		a.accounted++
	}
	switch l.Action {
	case ActionCreate, ActionImport, ActionRotate:
		a.added++
	case ActionPepper:
		a.pepper = l.Detail
	case ActionRevokeAll:
		a.unsettled = append(a.unsettled, l.Entry)
	case ActionRevoked:
		a.settle(l.KeyID)
	}
	return nil
}

// settle accounts for the next key of the first bulk revocation.
func (a *Auditor) settle(keyID string) {
	a.settled = a.settled.With(keyID)
	if len(a.unsettled) > 0 && a.settled == a.unsettled[0].KeySum {
		a.unsettled, a.settled = a.unsettled[1:], Digest{}
	}
}

// Finish is called after the last entry and returns the head to store.
func (a *Auditor) Finish(end LogEnd) (Head, error) {
	switch {
	case a.Since != nil && a.Since.Seq > a.head.Seq:
		return a.head, a.tampered("the audit log ends before the saved head, %d: its tail was cut", a.Since.Seq)
	case end.Head != a.head:
		return a.head, a.tampered("the audit log does not end where the registry says: its tail was cut or added to")
	case end.Keys != a.added || end.Keys != a.accounted:
		return a.head, a.tampered("the audit log has %d keys, and the last change of %d; the registry has %d", a.added, a.accounted, end.Keys)
	case len(a.unsettled) > 0 || a.settled != Digest{}:
		return a.head, a.tampered(otherRevoked)
	case end.Pepper != a.pepper:
		return a.head, a.tampered("the registry uses pepper %q, and the audit log has %q", end.Pepper, a.pepper)
	}
	return a.head, nil
}

const otherRevoked = "the keys that were revoked in bulk are not those of the audit log"

func (a *Auditor) tampered(format string, args ...any) error {
	return &TamperedError{fmt.Sprintf(format, args...)}
}
