package records

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/session"
)

// content is a record in one storage. If nothing is stored, the error is IsMissing.
type content interface {
	MarkReplaced()
	// Read reads the whole record, without a lock.
	Read(ctx context.Context) (revision, error)
	// Check reads it and the files next to it; with repair it cleans up after crashes.
	Check(ctx context.Context, repair bool) (session.Repairs, error)
	Reseal(ctx context.Context) error
	MoveTo(ctx context.Context, to content, settle func() error) (left, err error)
	Export(ctx context.Context) (credstore.Record, error)
	Import(ctx context.Context, stored credstore.Record) error
	Remove(ctx context.Context) error
	Probe(ctx context.Context) error // tests the storage
}

type revision struct {
	credstore.Size
	savedAt time.Time        // of a login
	record  credstore.Record // of the others
}

func (r revision) equals(other revision) bool {
	return bytes.Equal(r.record.Head, other.record.Head) && bytes.Equal(r.record.Body, other.record.Body)
}

type login struct {
	credstore.Entry
	*session.Session
}

func (l login) Read(ctx context.Context) (revision, error) {
	size, err := l.Measure(ctx)
	if err != nil {
		return revision{Size: size}, err
	}
	status := l.Status(ctx)
	if status.State == session.StateLoggedOut {
		status.Err = session.ErrLoginRequired
	}
	return revision{Size: size, savedAt: status.SavedAt}, status.Err
}

func (l login) Check(ctx context.Context, repair bool) (session.Repairs, error) {
	l.Warn = func(string) {} // the result includes it
	return l.Session.Check(ctx, repair)
}

// MoveTo first recovers an interrupted refresh, like Export.
func (l login) MoveTo(ctx context.Context, to content, settle func() error) (left, err error) {
	if _, err := l.Export(ctx); err != nil {
		return nil, err
	}
	return l.Entry.MoveTo(ctx, to.(login).Entry.Store, settle)
}

// sealed is a secret or the peppers. Entry has the other methods.
type sealed struct {
	credstore.Entry
	check func(credstore.Record) error // rejects unreadable content
}

func (s sealed) Export(ctx context.Context) (credstore.Record, error) {
	r, err := s.Get(ctx)
	if err == nil {
		err = s.check(r)
	}
	return r, err
}

func (s sealed) Read(ctx context.Context) (revision, error) {
	size, err := s.Measure(ctx)
	if err != nil {
		return revision{Size: size}, err
	}
	r, err := s.Export(ctx)
	return revision{Size: size, record: r}, err
}

func (s sealed) Check(ctx context.Context, repair bool) (session.Repairs, error) {
	orphans, err := s.Entry.Check(ctx, repair)
	return session.Repairs{Orphans: orphans}, err
}

func (s sealed) MoveTo(ctx context.Context, to content, settle func() error) (left, err error) {
	return s.Entry.MoveTo(ctx, to.(sealed).Store, settle)
}

func (s sealed) Import(ctx context.Context, stored credstore.Record) error {
	if err := s.check(stored); err != nil {
		return errors.Join(ErrNotBackup, err)
	}
	return s.Replace(ctx, stored)
}
