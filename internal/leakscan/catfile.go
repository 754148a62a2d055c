package leakscan

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
)

const (
	// maxReaders is how many git processes unpack objects side by side.
	maxReaders = 4
	// batchSize is how many objects one of them is asked for at once: a delta and its base
	// are near each other.
	batchSize = 512
)

// scanAllObjects scans all objects of a repository but trees.
func (s *Scanner) scanAllObjects(ctx context.Context, dir string, c *collector) error {
	return s.scanBatches(ctx, dir, c, func(ctx context.Context, batches chan<- []string) error {
		return listObjects(ctx, dir, batches)
	})
}

// scanNamed scans the named objects.
func (s *Scanner) scanNamed(ctx context.Context, dir string, names []string, c *collector) error {
	return s.scanBatches(ctx, dir, c, func(ctx context.Context, batches chan<- []string) error {
		for batch := range slices.Chunk(names, batchSize) {
			send(ctx, batches, batch)
		}
		return nil
	})
}

// scanBatches scans the objects that list sends. The findings have their names as paths.
func (s *Scanner) scanBatches(ctx context.Context, dir string, c *collector, list func(context.Context, chan<- []string) error) error {
	batches := make(chan []string)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(batches)
		return list(ctx, batches)
	})
	for range min(maxReaders, runtime.GOMAXPROCS(0)) {
		group.Go(func() error {
			return s.scanObjects(ctx, dir, batches, c, func(_ int, name string) string { return name })
		})
	}
	return group.Wait()
}

func send(ctx context.Context, batches chan<- []string, batch []string) {
	select {
	case batches <- batch:
	case <-ctx.Done():
	}
}

// listObjects sends the names of all objects but trees, in the order of the packs.
func listObjects(ctx context.Context, dir string, batches chan<- []string) error {
	c := git(ctx, dir, "cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objecttype) %(objectname)")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	stdout, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return gitError(err, "it could not be started")
	}
	var batch []string
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if kind, name, _ := strings.Cut(lines.Text(), " "); kind != "tree" {
			if batch = append(batch, name); len(batch) == batchSize {
				send(ctx, batches, batch)
				batch = nil
			}
		}
	}
	send(ctx, batches, batch)
	if err := c.Wait(); err != nil {
		return gitError(err, stderr.String())
	}
	return nil
}

// scanObjects scans the objects in batches of names with one git process. path returns
// the path of the findings in the i-th object.
func (s *Scanner) scanObjects(ctx context.Context, dir string, batches <-chan []string, c *collector, path func(i int, name string) string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cat := git(ctx, dir, "cat-file", "--batch", "--buffer")
	var stderr bytes.Buffer
	cat.Stderr = &stderr
	stdin, err := cat.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cat.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cat.Start(); err != nil {
		return gitError(err, "it could not be started")
	}
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		defer stdin.Close()
		for batch := range batches {
			if _, err := io.WriteString(stdin, strings.Join(batch, "\n")+"\n"); err != nil {
				return
			}
		}
	}()
	growPipe(stdout)
	if err := s.readObjects(ctx, bufio.NewReaderSize(stdout, 1<<16), c, path); err != nil {
		cancel()
		_ = cat.Wait()
		return err
	}
	if err := cat.Wait(); err != nil {
		return gitError(err, stderr.String())
	}
	<-asked
	return nil
}

// readObjects reads "NAME TYPE SIZE", the object and a line break, for each.
func (s *Scanner) readObjects(ctx context.Context, r *bufio.Reader, c *collector, path func(i int, name string) string) error {
	var buffer []byte
	for i := 0; ; i++ {
		head, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) && head == "" {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("%w: it ended early: %w", ErrGit, err)
		}
		fields := strings.Fields(head)
		if len(fields) != 3 {
			c.add(Result{Skipped: []string{strings.TrimSpace(head)}})
			continue
		}
		size, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return fmt.Errorf("%w: an object of %q bytes", ErrGit, fields[2])
		}
		if fields[1] == "tree" { // a loose one
			if _, err := io.CopyN(io.Discard, r, size+1); err != nil {
				return fmt.Errorf("%w: it ended early: %w", ErrGit, err)
			}
			continue
		}
		var found []Finding
		buffer, err = s.Scan(ctx, io.LimitReader(r, size), buffer, func(f Finding) {
			f.Path = path(i, fields[0])
			found = append(found, f)
		})
		if err != nil {
			return err
		}
		if _, err := r.Discard(1); err != nil {
			return fmt.Errorf("%w: it ended early: %w", ErrGit, err)
		}
		c.add(Result{Findings: found, Files: 1, Bytes: size})
	}
}
