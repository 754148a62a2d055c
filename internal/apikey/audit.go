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
	// ActionRevokeAll revoked many keys, whose number begins the detail, and ActionRevoked
	// completed the record of one of them.
	ActionRevokeAll = "revoke-all"
	ActionRevoked   = "revoked"
)

// Entry is an entry of the audit log, which is also the change log. Sequence numbers have
// no gaps, and each entry's hash covers the previous entry.
type Entry struct {
	Seq int64 // from 1
	Event
	KeyID  string // "" if it is about no single key
	KeySum Digest // of the key's record after the change
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

// Next appends an entry about a key, which becomes the head. A nil record is an entry about
// no key.
func (h *Head) Next(e Event, r *Record) Entry {
	entry := Entry{Seq: h.Seq + 1, Event: e}
	if r != nil {
		entry.KeyID, entry.KeySum = r.ID, r.sum()
	}
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
}

// TamperedError is where a log was changed by something other than fob.
type TamperedError struct {
	Seq    int64
	Reason string
}

func (e *TamperedError) Error() string {
	return fmt.Sprintf("the audit log is not what fob wrote, at entry %d: %s", e.Seq, e.Reason)
}

// LogEnd is a registry's current state, to compare with its log.
type LogEnd struct {
	Head    Head
	Keys    int64  // number of keys, with the whole log
	Pending int64  // number of revoked keys whose records do not show it yet
	Pepper  string // id of the current pepper
}

// Auditor verifies a log entry by entry, from the first.
type Auditor struct {
	Since *Head // from an earlier check; may be nil

	head      Head
	pepper    string // the last one in an entry
	added     int64  // keys added by entries
	pending   int64  // keys revoked by entries, whose records do not show it yet
	accounted int64  // keys whose record matches their last entry
}

// Check verifies the next entry. The error is a *TamperedError.
func (a *Auditor) Check(l Logged) error {
	switch {
	case l.Seq != a.head.Seq+1:
		return a.tampered("it is missing; the next is %d", l.Seq)
	case l.hash(a.head.Hash) != l.Hash:
		return a.tampered("the entry or the one before was edited")
	case l.KeyID != "" && l.RecordSeq < l.Seq:
		return a.tampered("the record of key %.12q is gone, or one from before was put back", l.KeyID)
	case l.Record != nil && l.Record.sum() != l.KeySum:
		return a.tampered("the record of key %.12q was changed without an entry since", l.KeyID)
	case a.Since != nil && l.Seq == a.Since.Seq && l.Hash != a.Since.Hash:
		return a.tampered("it is another than when the head was saved: the log was rewritten")
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
		var count int64
		_, _ = fmt.Sscan(l.Detail, &count)
		a.pending += count
	case ActionRevoked:
		a.pending--
	}
	return nil
}

// Finish is called after the last entry and returns the head to store.
func (a *Auditor) Finish(end LogEnd) (Head, error) {
	switch {
	case a.Since != nil && a.Since.Seq > a.head.Seq:
		return a.head, a.tampered("the log ends before the saved head, %d: its tail was cut", a.Since.Seq)
	case end.Head != a.head:
		return a.head, a.tampered("the log does not end where the registry says: its tail was cut or added to")
	case end.Keys != a.added || end.Keys != a.accounted:
		return a.head, a.tampered("the log knows of %d keys, and of the last change of %d; the registry has %d", a.added, a.accounted, end.Keys)
	case end.Pending != a.pending:
		return a.head, a.tampered("the log knows of %d revocations that are not in their records yet; the registry has %d", a.pending, end.Pending)
	case end.Pepper != a.pepper:
		return a.head, a.tampered("the registry uses pepper %q, and the log knows of %q", end.Pepper, a.pepper)
	}
	return a.head, nil
}

func (a *Auditor) tampered(format string, args ...any) error {
	return &TamperedError{Seq: a.head.Seq + 1, Reason: fmt.Sprintf(format, args...)}
}
