//go:build unix

package agent

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// page is memory outside of Go's heap, which never moves and is not swapped out.
type page struct{ bytes []byte }

func newPage() (*page, error) {
	bytes, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("allocating a page of memory: %w", err)
	}
	p := &page{bytes}
	if err := unix.Mlock(bytes); err != nil {
		_ = p.free()
		return nil, fmt.Errorf("locking a page of memory: %w", err)
	}
	return p, nil
}

func (p *page) free() error {
	clear(p.bytes)
	return unix.Munmap(p.bytes)
}
