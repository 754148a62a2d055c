package apikey

import (
	"slices"
	"time"
)

// Phase is how far a rotation has come.
//
//	minted ──► delivering ──► checked ──► overlap ──► retired
//	   └───────────┴─────────► abandoned
//
// Only digests are kept, so a rotation that stopped before overlap is never taken
// up where it was: the next one abandons it, delivers another successor everywhere
// and only then revokes the abandoned one, which may be in use where it arrived. One
// that has come to checked waits for the old key's end alone. Until overlap the old
// key is as it was, unless it is compromised: that one ends soon, whatever happens.
type Phase string

// The phases of a rotation. At most one of a key is open: neither retired nor
// abandoned.
const (
	PhaseMinted     Phase = "minted"
	PhaseDelivering Phase = "delivering"
	PhaseChecked    Phase = "checked" // delivered everywhere
	PhaseOverlap    Phase = "overlap" // both keys are valid
	PhaseRetired    Phase = "retired"
	PhaseAbandoned  Phase = "abandoned"
)

// Known reports whether a rotation can be so far.
func (p Phase) Known() bool {
	return slices.Contains([]Phase{PhaseMinted, PhaseDelivering, PhaseChecked, PhaseOverlap, PhaseRetired, PhaseAbandoned}, p)
}

// Rotation is the recorded replacement of one key by another.
type Rotation struct {
	Old, New    string // ids
	Phase       Phase
	Compromised bool
	StartedAt   time.Time
	LeasedUntil time.Time // until then no other fob takes it over
	ArrivedAt   time.Time // when the successor was everywhere
	DueAt       time.Time // the end of the overlap
	Deliveries  []Delivery
}

// Delivery is one destination of a successor.
type Delivery struct {
	Destination string         `json:"destination"`
	Status      DeliveryStatus `json:"status"`
	Attempt     int            `json:"attempt"`
	Error       string         `json:"error,omitempty"`
}

// Open reports whether the key has no other rotation beside this one.
func (r *Rotation) Open() bool { return r.Phase != PhaseRetired && r.Phase != PhaseAbandoned }

// Arrived reports whether the successor is, or may be, somewhere already.
func (r *Rotation) Arrived() bool {
	return slices.ContainsFunc(r.Deliveries, func(d Delivery) bool { return d.Status == DeliveryDone || d.Status == DeliveryUnknown })
}

// DeliveryStatus is how a delivery went.
type DeliveryStatus string

// The statuses of a delivery.
const (
	DeliveryPending DeliveryStatus = "pending"
	DeliveryDone    DeliveryStatus = "done"
	DeliveryFailed  DeliveryStatus = "failed"
	DeliveryUnknown DeliveryStatus = "unknown" // it was cut short, and may have arrived
)
