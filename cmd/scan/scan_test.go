package scan

import (
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/leakscan"
)

// Where paths are too long to be shown, each finding still has its own key's state.
func TestScan_SARIFOfLongPaths(t *testing.T) {
	folder := strings.Repeat("long/", 60)
	var out strings.Builder
	a := app.New(strings.NewReader(""), &out, &strings.Builder{}, nil)
	err := printFindings(a, []foundKey{
		{Finding: leakscan.Finding{Path: folder + "a", Line: 1, Column: 1}, checked: true, state: apikey.Active},
		{Finding: leakscan.Finding{Path: folder + "b", Line: 1, Column: 1}, checked: true, state: apikey.Revoked},
	}, "sarif")
	if err != nil || strings.Count(out.String(), `"level": "error"`) != 1 || strings.Count(out.String(), `"level": "warning"`) != 1 {
		t.Errorf("%v\n%s", err, out.String())
	}
}
