package cli

import "testing"

func TestNearest(t *testing.T) {
	known := []string{"orders:read", "orders:write", "live", "ci"}
	for word, want := range map[string]string{
		"orders:raed": "orders:read", "order:write": "orders:write", "lvie": "live", "live": "live",
		"invoices:list": "", "x": "", "cx": "ci", "": "", "production": "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%q: %q, not %q", word, got, want)
		}
	}
	if got := Nearest("live", nil); got != "" {
		t.Errorf("among nothing: %q", got)
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"abc", "abc", 0}, {"abc", "", 3}, {"abc", "ab", 1}, {"abc", "abd", 1}, {"abc", "acb", 1}, {"abc", "cab", 2}, {"kitten", "sitting", 3}, {"ca", "abc", 3},
	} {
		if got, back := distance(test.a, test.b), distance(test.b, test.a); got != test.want || back != test.want {
			t.Errorf("%q and %q: %d and %d, not %d", test.a, test.b, got, back, test.want)
		}
	}
}
