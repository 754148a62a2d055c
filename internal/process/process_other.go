//go:build !linux

package process

// RunTied is Run: a child outlives fob here if fob is killed.
func (c *Cmd) RunTied() error { return c.Run() }
