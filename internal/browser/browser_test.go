package browser

import "testing"

// No URL ends the string that it stands in.
func TestI69_AppleScriptHoldsTheURL(t *testing.T) {
	for url, want := range map[string]string{
		"http://127.0.0.1:5/callback/ABC":        `open location "http://127.0.0.1:5/callback/ABC"`,
		`https://x/"\n do shell script "touch x`: `open location "https://x/\"\\n do shell script \"touch x"`,
		`https://x/\`:                            `open location "https://x/\\"`,
	} {
		if got := openLocation(url); got != want+"\n" {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}
