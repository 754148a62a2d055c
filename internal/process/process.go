// Package process keeps what fob has in memory, and what it was started with, from other
// programs of the same user, and starts fob's children, which are ordinary processes.
package process

import (
	"bytes"
	"context"
	"os/exec"
)

// Cmd is an exec.Cmd whose child gets the limits that fob was started with.
type Cmd struct{ *exec.Cmd }

// Command is exec.CommandContext for all children of fob.
func Command(ctx context.Context, name string, args ...string) *Cmd {
	return &Cmd{exec.CommandContext(ctx, name, args...)}
}

// Start starts the child.
func (c *Cmd) Start() error { return WithCallersLimits(c.Cmd.Start) }

// Run starts the child and waits for it.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the child and returns what it printed on stdout.
func (c *Cmd) Output() ([]byte, error) {
	var stdout bytes.Buffer
	c.Stdout = &stdout
	err := c.Run()
	return stdout.Bytes(), err
}
