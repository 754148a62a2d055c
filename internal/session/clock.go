package session

import "time"

// Clock is the time, and how long the machine has been up.
type Clock struct {
	Now    func() time.Time
	Uptime func() Uptime
}

// SystemClock is the machine's own. Its times have no monotonic reading, which would stop
// while a laptop sleeps.
func SystemClock() Clock {
	return Clock{Now: func() time.Time { return time.Now().Round(0) }, Uptime: systemUptime}
}

// Uptime is the time since a boot, including sleep, which cannot be set. Readings of one boot
// can be compared. The zero value is unknown.
type Uptime struct {
	Boot string        `json:"boot"` // names the boot
	Time time.Duration `json:"time"` // nanoseconds since then
}

// setBack is how far the time may be before an earlier one: clocks are adjusted.
const setBack = 5 * time.Second

// since is how long ago a moment was, by the clock that says longer: the time may have been
// set back, and the uptime stops in a paused virtual machine. It is unknown if the time is
// before the moment and the machine was rebooted in between.
func (c Clock) since(moment time.Time, up Uptime) (age time.Duration, known bool) {
	age = c.Now().Sub(moment)
	now := c.Uptime()
	if up.Boot != "" && now.Boot == up.Boot {
		return max(age, now.Time-up.Time), true
	}
	return max(age, 0), age >= -setBack
}
