package scan

import (
	"cmp"
	"fmt"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/leakscan"
	"github.com/fobcli/fob/internal/sanitize"
)

func (j *judgment) stateText() string {
	switch {
	case !j.checked:
		return "not checked"
	case j.state == "":
		return "not of this registry"
	case j.live():
		return "LIVE: " + sanitize.Line(j.record.Owner)
	}
	return string(j.state) + ": " + sanitize.Line(j.record.Owner)
}

func (f *foundKey) location() string {
	where := fmt.Sprintf("%s:%d:%d", cmp.Or(sanitize.Line(f.Path), string(f.Kind)), f.Line, f.Column)
	if f.Commit != "" {
		where += " in " + f.Commit[:min(12, len(f.Commit))]
	}
	return where
}

type findingJSON struct {
	Key         string        `json:"key"` // without its secret
	ID          string        `json:"id"`
	Environment string        `json:"environment"`
	Path        string        `json:"path,omitempty"`
	Line        int           `json:"line"`
	Column      int           `json:"column"`
	Commit      string        `json:"commit,omitempty"`
	Checked     bool          `json:"checked"`
	Live        bool          `json:"live"`
	State       apikey.State  `json:"state,omitempty"`
	Owner       string        `json:"owner,omitempty"`
	Kind        leakscan.Kind `json:"kind"`
}

func printFindings(a *app.App, found []foundKey, format string) error {
	switch format {
	case "json":
		list := make([]findingJSON, len(found))
		for i, f := range found {
			list[i] = findingJSON{
				Key: f.Masked(), ID: f.ID, Environment: f.Environment, Path: f.Path, Line: f.Line, Column: f.Column, Commit: f.Commit,
				Checked: f.checked, Live: f.live(), State: f.state, Owner: f.record.Owner, Kind: f.Kind,
			}
		}
		return a.PrintJSON(list)
	case "sarif":
		findings := make([]leakscan.Finding, len(found))
		for i := range found {
			findings[i] = found[i].Finding
		}
		return a.PrintJSON(leakscan.SARIF(app.Version(), findings, func(i int) (string, bool) {
			return "API key " + found[i].Masked() + ", " + found[i].stateText(), found[i].live()
		}))
	}
	for _, f := range found {
		if err := a.Out.Printf("%s: %s %s\n", f.location(), f.Masked(), f.stateText()); err != nil {
			return err
		}
	}
	return nil
}

func bytesText(n int64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
