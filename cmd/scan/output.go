package scan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/leakscan"
	"github.com/fobcli/fob/internal/sanitize"
)

func (f *foundKey) stateText() string {
	state := string(f.state)
	switch {
	case !f.checked:
		return "not checked"
	case f.state == "":
		return "not of this registry"
	case f.destination != "":
		state = "at its destination"
	case f.live():
		state = "LIVE"
	}
	return state + ": " + sanitize.Line(f.record.Owner)
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
	Kind        leakscan.Kind `json:"kind"`
	Path        string        `json:"path,omitempty"`
	Line        int           `json:"line"`
	Column      int           `json:"column"`
	Commit      string        `json:"commit,omitempty"`
	Fingerprint string        `json:"fingerprint"`
	Checked     bool          `json:"checked"`
	Live        bool          `json:"live"`
	State       apikey.State  `json:"state,omitempty"`
	Owner       string        `json:"owner,omitempty"`
	Destination string        `json:"destination,omitempty"` // if it was found there
}

// unreadJSON is something that was not scanned, which is expected for a submodule.
type unreadJSON struct {
	Kind                string `json:"kind"`
	Path                string `json:"path"`
	Error               string `json:"error"`
	ExecutionSuccessful bool   `json:"executionSuccessful"`
}

const notScanned = "not scanned"

func printFindings(a *app.App, found []foundKey, r leakscan.Result, format string) error {
	switch format {
	case "json":
		list := make([]any, len(found))
		for i, f := range found {
			list[i] = findingJSON{
				Key: f.Masked(), ID: f.ID, Environment: f.Environment, Kind: f.Kind, Path: f.Path, Line: f.Line, Column: f.Column, Commit: f.Commit,
				Fingerprint: f.Fingerprint(), Checked: f.checked, Live: f.live(), State: f.state, Owner: f.record.Owner, Destination: f.destination,
			}
		}
		for _, u := range r.Unread {
			list = append(list, unreadJSON{notScanned, u.Path, u.Err.Error(), false})
		}
		for _, path := range r.Submodules {
			list = append(list, unreadJSON{notScanned, path, "a submodule", true})
		}
		return a.PrintJSON(list)
	case "sarif":
		found = slices.DeleteFunc(slices.Clone(found), func(f foundKey) bool { return f.destination != "" })
		r.Findings = make([]leakscan.Finding, len(found))
		for i := range found {
			r.Findings[i] = found[i].Finding
		}
		return a.PrintJSON(leakscan.SARIF(app.Version(), r, func(i int) (string, bool) {
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

func noteUnread(a *app.App, r leakscan.Result) {
	const most = 10
	for _, u := range r.Unread[:min(most, len(r.Unread))] {
		a.Warn(notScanned + ": " + sanitize.Line(u.String()))
	}
	if more := len(r.Unread) - most; more > 0 {
		a.Warn(fmt.Sprintf("%d more were not scanned", more))
	}
	for _, path := range r.Submodules {
		a.Note("Not scanned: submodule %s.", path)
	}
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
