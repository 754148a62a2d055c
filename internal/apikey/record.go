package apikey

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Record is a registry's record of a key; in JSON, as it is exported. Times are in UTC, to the
// millisecond; the zero time is never.
type Record struct {
	ID     string `json:"id,omitempty"`
	Digest Digest `json:"-"`
	Pepper string `json:"pepper,omitempty"` // id of the pepper in Digest; "" without

	Disabled  bool      `json:"disabled,omitempty"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RetiresAt time.Time `json:"retires_at,omitzero"` // end of the overlap with the replacement
	RevokedAt time.Time `json:"revoked_at,omitzero"`

	Owner       string            `json:"owner,omitempty"`
	Environment string            `json:"environment,omitempty"`
	Scopes      []string          `json:"scopes,omitempty"`
	Rate        string            `json:"rate,omitempty"` // "100/s", "5/s 1000/h"; "" without a limit
	Note        string            `json:"note,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`

	CreatedAt time.Time `json:"created_at,omitzero"`

	Predecessor string `json:"predecessor,omitempty"` // id of the key that this one replaces

	Destinations []string `json:"destinations,omitempty"` // where the key is delivered, in the order in which they were named

	LastUsedAt time.Time `json:"-"` // approximate; not part of audit entries
	Uses       int64     `json:"-"`
}

// State is a key's state at some time.
type State string

// States of a key; the package documentation has a diagram.
const (
	Active   State = "active"
	Disabled State = "disabled"
	Retiring State = "retiring"
	Revoked  State = "revoked"
	Expired  State = "expired"
)

// State returns the key's state.
func (r *Record) State(now time.Time) State {
	switch {
	case !r.RevokedAt.IsZero() || isPast(r.RetiresAt, now):
		return Revoked
	case isPast(r.ExpiresAt, now):
		return Expired
	case r.Disabled:
		return Disabled
	case !r.RetiresAt.IsZero():
		return Retiring
	}
	return Active
}

func isPast(end, now time.Time) bool { return !end.IsZero() && !now.Before(end) }

// Ends returns when the key stops being accepted; the zero time is never.
func (r *Record) Ends() time.Time {
	switch {
	case !r.RevokedAt.IsZero():
		return r.RevokedAt
	case r.RetiresAt.IsZero():
		return r.ExpiresAt
	case r.ExpiresAt.IsZero() || r.RetiresAt.Before(r.ExpiresAt):
		return r.RetiresAt
	}
	return r.ExpiresAt
}

// Revoke records a revocation, unless there is an earlier one, and ends a later overlap.
func (r *Record) Revoke(at time.Time) {
	if r.RevokedAt.IsZero() || at.Before(r.RevokedAt) {
		r.RevokedAt = at
	}
	if r.RetiresAt.After(at) {
		r.RetiresAt = at
	}
}

// Limits of a record's texts, in bytes.
const (
	maxOwner    = 200
	maxNote     = 1000
	maxMetadata = 4096 // names and values together

	maxDestinations = 100
	maxDestination  = 512
)

// Check rejects invalid records.
func (r *Record) Check() error {
	if err := CheckID(r.ID); err != nil {
		return err
	}
	return r.CheckDraft()
}

// CheckDraft is Check for a record without id.
func (r *Record) CheckDraft() error {
	if err := CheckEnvironment(r.Environment); err != nil {
		return fmt.Errorf("environment %.80q: %w", r.Environment, err)
	}
	if r.Owner == "" {
		return errors.New("a key needs an owner")
	}
	if err := checkText("the owner", r.Owner, maxOwner); err != nil {
		return err
	}
	if err := checkText("the note", r.Note, maxNote); err != nil {
		return err
	}
	if len(r.Scopes) > maxScopes {
		return fmt.Errorf("%d scopes: a key has at most %d", len(r.Scopes), maxScopes)
	}
	for _, scope := range r.Scopes {
		if err := CheckScope(scope); err != nil {
			return err
		}
	}
	if r.Predecessor != "" {
		if err := CheckID(r.Predecessor); err != nil {
			return fmt.Errorf("the predecessor: %w", err)
		}
	}
	if r.Rate != "" {
		if _, err := ParseRates(r.Rate); err != nil {
			return err
		}
	}
	if err := checkDestinations(r.Destinations); err != nil {
		return err
	}
	for _, at := range []time.Time{r.CreatedAt, r.ExpiresAt, r.RetiresAt, r.RevokedAt} {
		if at.UTC().Year() > 9999 { // not representable in RFC 3339 and JSON
			return errors.New("a time is behind the year 9999")
		}
	}
	return checkMetadata(r.Metadata)
}

// CheckReason rejects reasons that the audit log cannot store.
func CheckReason(why string) error { return checkText("the reason", why, maxNote) }

// checkDestinations checks the form of destinations, independent of the known platforms.
func checkDestinations(names []string) error {
	if len(names) > maxDestinations {
		return fmt.Errorf("%d destinations: a key has at most %d", len(names), maxDestinations)
	}
	for _, name := range names {
		if err := checkText("a destination", name, maxDestination); err != nil {
			return err
		}
		if !strings.Contains(name, ":") {
			return fmt.Errorf("%.80q is not a destination: use PLATFORM:PLACE", name)
		}
	}
	return nil
}

func checkMetadata(metadata map[string]string) error {
	total := 0
	for name, value := range metadata {
		total += len(name) + len(value)
		if name == "" {
			return errors.New("metadata is NAME=VALUE")
		}
		if err := errors.Join(checkText("a metadata name", name, maxOwner), checkText("the metadata "+strconv.Quote(name), value, maxMetadata)); err != nil {
			return err
		}
	}
	if total > maxMetadata {
		return fmt.Errorf("%d bytes of metadata: a key has at most %d", total, maxMetadata)
	}
	return nil
}

// checkText rejects texts with characters that could disguise something: they are shown in
// tables, logs and audits.
func checkText(what, text string, most int) error {
	if len(text) > most {
		return fmt.Errorf("%s has %d bytes: at most %d", what, len(text), most)
	}
	if !utf8.ValidString(text) {
		return fmt.Errorf("%s is not UTF-8", what)
	}
	if i := strings.IndexFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }); i >= 0 {
		c, _ := utf8.DecodeRuneInString(text[i:])
		return fmt.Errorf("%s has a character that cannot be shown: %U", what, c)
	}
	if LooksLikeKey(text) {
		return fmt.Errorf("%s has what looks like a key in it: the registry must not contain keys", what)
	}
	return nil
}

// Sum returns a digest of everything that a change may modify, for the audit log. It
// reveals rows that were edited directly.
func (r *Record) Sum() Digest {
	h := sha256.New()
	write := func(parts ...string) {
		for _, part := range parts {
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
			h.Write([]byte(part))
		}
	}
	write(r.ID, string(r.Digest[:]), r.Pepper, r.Owner, r.Environment, r.Rate, r.Note, r.Predecessor, strconv.FormatBool(r.Disabled))
	write(strconv.Itoa(len(r.Scopes)))
	write(r.Scopes...)
	for _, name := range slices.Sorted(maps.Keys(r.Metadata)) {
		write(name, r.Metadata[name])
	}
	for _, t := range []time.Time{r.CreatedAt, r.ExpiresAt, r.RetiresAt, r.RevokedAt} {
		write(strconv.FormatInt(Milliseconds(t), 10))
	}
	write(r.Destinations...) // last and without a count: no other record has the same sequence of parts
	return Digest(h.Sum(nil))
}

// Milliseconds returns a time as registries store it, since 1970; 0 is never.
func Milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// FromMilliseconds is the inverse of Milliseconds.
func FromMilliseconds(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// Rate is how often a key may be used.
type Rate struct {
	Count int
	Per   time.Duration
}

// ParseRates parses a list of COUNT/UNIT with the unit s, min, h or d, separated by spaces. No
// two may have the same unit.
func ParseRates(text string) (rates []Rate, err error) {
	units := map[string]time.Duration{"s": time.Second, "min": time.Minute, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	for field := range strings.FieldsSeq(text) {
		count, unit, _ := strings.Cut(field, "/")
		n, err := strconv.Atoi(count)
		per, known := units[unit]
		if err != nil || !known || n < 1 || n > 1e9 {
			return nil, fmt.Errorf("invalid rate %.80q: use COUNT/UNIT, such as 100/s or 5000/h", field)
		}
		if slices.ContainsFunc(rates, func(r Rate) bool { return r.Per == per }) {
			return nil, fmt.Errorf("two rates per %s: %.80q", unit, text)
		}
		rates = append(rates, Rate{Count: n, Per: per})
	}
	if len(rates) == 0 {
		return nil, errors.New("empty rate")
	}
	return rates, nil
}

// Phase is the progress of a rotation.
//
//	minted ──► delivering ──► checked ──► overlap ──► retired
//	   └───────────┴─────────► abandoned
//
// Only digests are stored, so a rotation that stopped before checked is continued with
// another replacement, which is delivered everywhere; then those before it, which may be in
// use where they were delivered, are revoked. One that has come to checked waits only for
// the old key's end. Until overlap the old key is as it was, unless it is compromised: that
// one ends soon, whatever happens, and the rotation stays open until every destination has
// a replacement. A new key that is to be delivered has a rotation of its own, in which Old
// and New are the same.
type Phase string

// Phases of a rotation. A key has at most one open rotation: neither retired nor abandoned.
const (
	PhaseMinted     Phase = "minted"
	PhaseDelivering Phase = "delivering"
	PhaseChecked    Phase = "checked" // delivered everywhere
	PhaseOverlap    Phase = "overlap" // both keys are valid
	PhaseRetired    Phase = "retired"
	PhaseAbandoned  Phase = "abandoned"
)

// Known reports whether a phase is valid.
func (p Phase) Known() bool {
	return slices.Contains([]Phase{PhaseMinted, PhaseDelivering, PhaseChecked, PhaseOverlap, PhaseRetired, PhaseAbandoned}, p)
}

// Rotation is the recorded replacement of a key by another.
type Rotation struct {
	Old, New    string // ids
	Phase       Phase
	Compromised bool
	StartedAt   time.Time
	LeasedUntil time.Time // until then no other process takes it over
	ArrivedAt   time.Time // when the replacement was delivered everywhere
	DueAt       time.Time // end of the overlap
	Deliveries  []Delivery
}

// Delivery is a destination of a replacement.
type Delivery struct {
	Destination string         `json:"destination"`
	Status      DeliveryStatus `json:"status"`
	Attempt     int            `json:"attempt"`
	Error       string         `json:"error,omitempty"`
}

// Unfinished reports whether the rotation is under way, or was interrupted.
func (r *Rotation) Unfinished() bool { return r.Open() && r.Phase != PhaseOverlap }

// Open reports whether the rotation is neither retired nor abandoned.
func (r *Rotation) Open() bool { return r.Phase != PhaseRetired && r.Phase != PhaseAbandoned }

// Arrived reports whether the replacement is, or may be, at some destination.
func (r *Rotation) Arrived() bool {
	return slices.ContainsFunc(r.Deliveries, func(d Delivery) bool { return d.Status == DeliveryDone || d.Status == DeliveryUnknown })
}

// DeliveryStatus is the result of a delivery.
type DeliveryStatus string

// Statuses of a delivery.
const (
	DeliveryPending DeliveryStatus = "pending"
	DeliveryDone    DeliveryStatus = "done"
	DeliveryFailed  DeliveryStatus = "failed"
	DeliveryUnknown DeliveryStatus = "unknown" // it was interrupted, and may have succeeded
)
