// Package process protects fob's memory and environment from other programs of the same
// user, and starts fob's children, which are ordinary processes.
package process

import (
	"context"
	"io"
	"os/exec"
)

// Cmd is an exec.Cmd whose child gets the limits that fob was started with. It has only
// these methods, because others such as CombinedOutput would start without the limits.
type Cmd exec.Cmd

// Command is exec.CommandContext for all children of fob.
func Command(ctx context.Context, name string, args ...string) *Cmd {
	return (*Cmd)(exec.CommandContext(ctx, name, args...))
}

// Start starts the child.
func (c *Cmd) Start() error { return WithCallersLimits((*exec.Cmd)(c).Start) }

// Run starts the child and waits for it.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// StdoutPipe returns a pipe from the child.
func (c *Cmd) StdoutPipe() (io.ReadCloser, error) { return (*exec.Cmd)(c).StdoutPipe() }

// Wait waits for the child.
func (c *Cmd) Wait() error { return (*exec.Cmd)(c).Wait() }
