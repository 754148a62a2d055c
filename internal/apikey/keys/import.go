package keys

import (
	"cmp"
	"context"
	"errors"
	"io"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keylist"
)

// Imported counts the keys of a list.
type Imported struct{ Read, Added int }

// ImportOptions configures an import.
type ImportOptions struct {
	DryRun   bool                      // check the lines without adding keys
	Prepare  func(*keylist.Line) error // completes each line
	Progress func(Imported)            // after each batch
}

// ImportList adds the keys of a list in batches. The counts are correct even after an
// error, because earlier batches were added.
func (g *Registrar) ImportList(ctx context.Context, list *keylist.Reader, opts ImportOptions) (done Imported, err error) {
	importer := g.Importer()
	batch := make([]apikey.Record, 0, BatchSize)
	for {
		r, readErr := importer.read(ctx, list, opts.Prepare)
		if readErr == nil {
			batch = append(batch, r)
		}
		if len(batch) == cap(batch) || readErr != nil && len(batch) > 0 {
			if !opts.DryRun {
				added, err := g.Import(ctx, batch)
				if err != nil {
					return done, err
				}
				done.Added += added
			}
			done.Read += len(batch)
			batch = batch[:0]
			opts.Progress(done)
		}
		switch {
		case errors.Is(readErr, io.EOF):
			return done, nil
		case readErr != nil:
			return done, readErr
		case ctx.Err() != nil:
			return done, ctx.Err()
		}
	}
}

func (i *Importer) read(ctx context.Context, list *keylist.Reader, prepare func(*keylist.Line) error) (apikey.Record, error) {
	line, at, err := list.Read()
	if err != nil {
		return apikey.Record{}, err
	}
	if err = cmp.Or(prepare(&line), line.Finish()); err == nil {
		var r apikey.Record
		if r, err = i.Complete(ctx, line.Key, line.Record); err == nil {
			return r, nil
		}
	}
	return apikey.Record{}, &keylist.LineError{Line: at, Err: err}
}
