package cli

import (
	"fmt"
	"strconv"
	"time"
)

// AgoText returns how far a time is in the past or future.
func AgoText(t, now time.Time) string {
	if left := t.Sub(now); left > 0 {
		return "in " + Roughly(left)
	}
	return Roughly(now.Sub(t)) + " ago"
}

// ParseWhen parses a future time: a span from now, a date or a time; never is the zero
// time.
func ParseWhen(text string, now time.Time) (time.Time, error) {
	if text == "never" {
		return time.Time{}, nil
	}
	if span, err := ParseSpan(text); err == nil && span > 0 {
		return now.Add(span).UTC(), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			if !at.After(now) {
				return at, WithHint(Usagef("%s is in the past", text), "use a future time, or 'never'")
			}
			return at.UTC(), nil
		}
	}
	return time.Time{}, WithHint(Usagef("invalid time %q", text), "use 90d, 12h, 2027-01-31, 2027-01-31T12:00:00Z, or never")
}

// maxSpan is a hundred years; more is a typo.
const maxSpan = 100 * 366 * 24 * time.Hour

// ParseSpan parses a duration, with the units d and w in addition to Go's.
func ParseSpan(text string) (time.Duration, error) {
	unit := map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour}[text[max(0, len(text)-1):]]
	span, err := time.ParseDuration(text)
	if unit != 0 {
		var n int
		n, err = strconv.Atoi(text[:len(text)-1])
		span = time.Duration(min(max(n, -1), int(maxSpan/unit)+1)) * unit
	}
	if err != nil || span < 0 || span > maxSpan {
		return 0, WithHint(Usagef("%q is not a duration", text), "use 30m, 24h, 14d, 6w")
	}
	return span, nil
}

// DayText returns a time's day, which is enough for a time long ago.
func DayText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// UTCSeconds returns a time as it is printed: in UTC, to the second.
func UTCSeconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// TimeText returns a time in UTC, or "" for the zero time.
func TimeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// UntilText returns a time and how far away it is.
func UntilText(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s (%s)", TimeText(t), LeftText(t, now))
}

// LeftText returns how far away a time is.
func LeftText(t, now time.Time) string {
	switch left := t.Sub(now); {
	case t.IsZero():
		return ""
	case left <= 0:
		return "over"
	default:
		return "in " + Roughly(left)
	}
}

// ExpiryText says when a thing expires: "expires in 3 days", or "has expired".
func ExpiryText(t, now time.Time) string {
	if !t.After(now) {
		return "has expired"
	}
	return "expires " + LeftText(t, now)
}

// Roughly returns a duration in its largest sensible unit.
func Roughly(d time.Duration) string {
	const day = 24 * time.Hour
	switch { // rounded, so that 90 days that began a moment ago are 90 days
	case d.Round(time.Hour) >= 2*day:
		return fmt.Sprintf("%d days", d.Round(day)/day)
	case d.Round(time.Minute) >= 2*time.Hour:
		return fmt.Sprintf("%d h", d.Round(time.Hour)/time.Hour)
	case d.Round(time.Second) >= 2*time.Minute:
		return fmt.Sprintf("%d min", d.Round(time.Minute)/time.Minute)
	}
	return fmt.Sprintf("%d s", int(d.Seconds()))
}
