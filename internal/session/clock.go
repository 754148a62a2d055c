package session

import "time"

// Clock tells the time, and how long the machine has been up.
type Clock struct {
	Now    func() time.Time
	Uptime func() Uptime
}

// SystemClock is the machine's own. Its times carry no monotonic reading, which
// would stand still while a laptop sleeps.
func SystemClock() Clock {
	return Clock{Now: func() time.Time { return time.Now().Round(0) }, Uptime: systemUptime}
}

// Uptime is a reading of a clock that nobody can set: the time since a boot,
// with what the machine has slept. Two readings of one boot compare. The zero
// value is unknown.
type Uptime struct {
	Boot string        `json:"boot"` // names the boot
	Time time.Duration `json:"time"` // nanoseconds since then
}

// setBack is how far the time may lie before a stamp that it was said to follow:
// clocks are nudged all the time.
const setBack = 5 * time.Second

// since is how long ago a moment was. The longer of both clocks counts: the time
// may have been set back since, and the uptime stands still in a paused virtual
// machine. It is not known where the time lies before the moment and the machine
// was booted in between.
func (c Clock) since(moment time.Time, up Uptime) (age time.Duration, known bool) {
	age = c.Now().Sub(moment)
	now := c.Uptime()
	if up.Boot != "" && now.Boot == up.Boot {
		return max(age, now.Time-up.Time), true
	}
	return max(age, 0), age >= -setBack
}
