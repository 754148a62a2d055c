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
}
