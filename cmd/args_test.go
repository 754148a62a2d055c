package cmd

import "testing"

func TestNearest(t *testing.T) {
	names := []string{"home", "work", "staging", "a"}
	for typed, want := range map[string]string{
		"hoem": "home", "wor": "work", "works": "work", "hoem1": "home", "stagging": "staging", "stagin": "staging", "b": "", "": "", "production": "",
	} {
		if got := nearest(typed, names); got != want {
			t.Errorf("%q: %q, not %q", typed, got, want)
		}
	}
	if d := distance("kitten", "sitting"); d != 3 {
		t.Errorf("kitten, sitting: %d", d)
	}
}
