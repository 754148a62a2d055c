package process

// Protect does nothing: on Windows, a program may open all processes of its user, and a
// process's owner can always restore that right.
func Protect() error { return nil }

// WithCallersLimits runs start. There are no limits here.
func WithCallersLimits(start func() error) error { return start() }

// HideVariables does nothing: programs that can read the environment can also read the
// memory.
func HideVariables(map[string]string, func(name string) bool) {}
