package cli

import (
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func TestParseSpan(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"30m": 30 * time.Minute, "24h": day, "1h30m": 90 * time.Minute, "14d": 14 * day, "6w": 42 * day, "0d": 0, "0s": 0, "36500d": 36500 * day,
		"": -1, "d": -1, "5": -1, "-1d": -1, "-5m": -1, "1.5d": -1, "1d2h": -1, "99999999999999999999d": -1, "36601d": -1, "5229w": -1, "876001h": 876001 * time.Hour, "999999h": -1, "5 d": -1, "fünf": -1,
	} {
		got, err := ParseSpan(text)
		if (err == nil) != (want >= 0) || err == nil && got != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
		if err != nil && (!IsUsage(err) || CarriedHint(err) == "") {
			t.Errorf("%q: not a usage error with a hint: %v", text, err)
		}
	}
}

func TestParseWhen(t *testing.T) {
	for text, want := range map[string]string{
		"never": "0001-01-01T00:00:00Z", "90d": "2027-02-28T12:00:00Z", "12h": "2026-12-01T00:00:00Z",
		"2027-01-31": "2027-01-31T00:00:00Z", "2027-01-31T12:00:00+02:00": "2027-01-31T10:00:00Z",
		"2026-11-30": "", "2026-11-30T12:00:00Z": "", "2020-01-01": "", "0d": "", "tomorrow": "", "": "", "2027-13-01": "",
	} {
		got, err := ParseWhen(text, noon)
		if (err == nil) != (want != "") || err == nil && (got.Format(time.RFC3339) != want || got.Location() != time.UTC) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
		if err != nil && (!IsUsage(err) || CarriedHint(err) == "") {
			t.Errorf("%q: not a usage error with a hint: %v", text, err)
		}
	}
}

func TestRoughly(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 1500 * time.Millisecond: "1 s", 119 * time.Second: "119 s", 2 * time.Minute: "2 min", 119 * time.Minute: "119 min",
		2 * time.Hour: "2 h", 47*time.Hour + 20*time.Minute: "47 h", 48*time.Hour - time.Second: "2 days", 90*24*time.Hour + time.Hour: "90 days",
		90*24*time.Hour - time.Second: "90 days",
	} {
		if got := Roughly(d); got != want {
			t.Errorf("%s: %q, not %q", d, got, want)
		}
	}
}

func TestTimeTexts(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	for _, test := range []struct {
		name                   string
		at                     time.Time
		day, time, until, left string
		ago                    string
	}{
		{"zero", time.Time{}, "", "", "", "", ""},
		{"later", noon.Add(3 * time.Hour), "2026-11-30", "2026-11-30 15:00:00 UTC", "2026-11-30 15:00:00 UTC (in 3 h)", "in 3 h", "in 3 h"},
		{"now", noon, "2026-11-30", "2026-11-30 12:00:00 UTC", "2026-11-30 12:00:00 UTC (over)", "over", "0 s ago"},
		{"earlier, in another zone", noon.Add(-72 * time.Hour).In(berlin), "2026-11-27", "2026-11-27 12:00:00 UTC", "2026-11-27 12:00:00 UTC (over)", "over", "3 days ago"},
	} {
		for what, texts := range map[string][2]string{
			"DayText": {DayText(test.at), test.day}, "TimeText": {TimeText(test.at), test.time},
			"UntilText": {UntilText(test.at, noon), test.until}, "LeftText": {LeftText(test.at, noon), test.left},
		} {
			if texts[0] != texts[1] {
				t.Errorf("%s of %s: %q, not %q", what, test.name, texts[0], texts[1])
			}
		}
		if got := AgoText(test.at, noon); test.ago != "" && got != test.ago {
			t.Errorf("AgoText of %s: %q, not %q", test.name, got, test.ago)
		}
	}
}

func TestUTCSeconds(t *testing.T) {
	at := noon.Add(999 * time.Millisecond).In(time.FixedZone("CET", 3600))
	if got := UTCSeconds(at); got != noon {
		t.Error(got)
	}
}

func TestExpiryText(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for at, want := range map[time.Time]string{now.Add(72 * time.Hour): "expires in 3 days", now: "has expired", now.Add(-time.Hour): "has expired"} {
		if got := ExpiryText(at, now); got != want {
			t.Errorf("%s: %q", at, got)
		}
	}
}
