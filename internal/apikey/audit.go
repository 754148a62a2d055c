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

// Event is what a change says of itself.
type Event struct {
	At     time.Time // UTC, to the millisecond
	Actor  string    // who says to have done it: user@host
	Action string
	Detail string // for people
}

// The actions of the audit log.
const (
	ActionCreate  = "create"
	ActionImport  = "import"
	ActionUpdate  = "update"
	ActionRotate  = "rotate"  // the successor was minted
	ActionDeliver = "deliver" // the successor went where it is used
	ActionAbandon = "abandon" // a rotation that did not come to its end: the successor is revoked
	ActionRetire  = "retire"  // the old key has a successor, and an end
	ActionRevoke  = "revoke"
	ActionRehash  = "rehash" // the digest was made again with the present pepper
	ActionPepper  = "pepper" // another pepper is used from now on: its id is the detail
)

// Entry is a line of the audit log, which is also the feed of changes: sequence
// numbers have no gap, and each entry's hash covers the one before it.
type Entry struct {
	Seq int64 // from 1
	Event
	KeyID  string // "" if it is of no single key
	KeySum Digest // of the key's record after the change
	Hash   Digest
}

// Head is the last entry of a log: who has kept it can prove that nothing up to it
// was changed or cut. It is written SEQ:HASH.
type Head struct {
	Seq  int64
	Hash Digest
}

func (h Head) String() string { return fmt.Sprintf("%d:%s", h.Seq, h.Hash) }

// ParseHead reads what Head.String wrote.
func ParseHead(text string) (Head, error) {
	seq, hash, _ := strings.Cut(text, ":")
	n, err := strconv.ParseInt(seq, 10, 64)
	raw, hexErr := hex.DecodeString(hash)
	if err != nil || n < 0 || hexErr != nil || len(raw) != sha256.Size {
		return Head{}, errors.New("a head of the audit log is SEQ:HASH, as 'fob key audit --verify' prints it")
	}
	return Head{Seq: n, Hash: Digest(raw)}, nil
}

// Next links an entry about a key behind the head, which becomes its own. A nil
// record is an entry about no key.
func (h *Head) Next(e Event, r *Record) Entry {
	entry := Entry{Seq: h.Seq + 1, Event: e}
	if r != nil {
		entry.KeyID, entry.KeySum = r.ID, r.sum()
	}
	entry.Hash = entry.hash(h.Hash)
	*h = Head{Seq: entry.Seq, Hash: entry.Hash}
	return entry
}

// hash is SHA-256 of the hash before and every field, each text behind its length.
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

// Logged is an entry, and what its key's record says today.
type Logged struct {
	Entry
	RecordSeq int64   // the entry that the record names as its last; 0: there is no record
	Record    *Record // if this is that entry
}

// TamperedError says where a log was changed by something other than fob.
type TamperedError struct {
	Seq    int64
	Reason string
}

func (e *TamperedError) Error() string {
	return fmt.Sprintf("the audit log is not what fob wrote, at entry %d: %s", e.Seq, e.Reason)
}

// LogEnd is what a registry says of itself, for the log to be held against.
type LogEnd struct {
	Head   Head
	Keys   int64  // how many it names
	Pepper string // the id of the one that it uses
}

// Auditor checks a log entry by entry, from the first.
type Auditor struct {
	Since *Head // kept from an earlier check; nil if none was

	head      Head
	pepper    string // the last one that an entry tells of
	added     int64  // keys, by their entries
	accounted int64  // keys whose record is what their last entry says
}

// Check takes the next entry. Its error is a *TamperedError.
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
	}
	return nil
}

// Finish is called behind the last entry and returns the head to keep.
func (a *Auditor) Finish(end LogEnd) (Head, error) {
	switch {
	case a.Since != nil && a.Since.Seq > a.head.Seq:
		return a.head, a.tampered("the log ends before the saved head, %d: its tail was cut", a.Since.Seq)
	case end.Head != a.head:
		return a.head, a.tampered("the log does not end where the registry says: its tail was cut or added to")
	case end.Keys != a.added || end.Keys != a.accounted:
		return a.head, a.tampered("the log knows of %d keys, and of the last change of %d; the registry has %d", a.added, a.accounted, end.Keys)
	case end.Pepper != a.pepper:
		return a.head, a.tampered("the registry uses pepper %q, and the log knows of %q", end.Pepper, a.pepper)
	}
	return a.head, nil
}

func (a *Auditor) tampered(format string, args ...any) error {
	return &TamperedError{Seq: a.head.Seq + 1, Reason: fmt.Sprintf(format, args...)}
}
