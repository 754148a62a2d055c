package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd"
)

// A line that starts with a dot would be a request of roff's, a backslash an escape.
func TestRoffIsShownAsItWas(t *testing.T) {
	for text, want := range map[string]string{
		".fob.toml":   `\&.fob.toml`,
		"'fob token'": `\&\(aqfob token\(aq`,
		"--json":      `\-\-json`,
		`a\b`:         `a\eb`,
		"ID…":         `ID\[u2026]`,
		"`~^":         `\(ga\(ti\(ha`,
	} {
		if got := roff(text); got != want {
			t.Errorf("%q is %q", text, got)
		}
	}
}

func TestManualHasAllOfTheHelp(t *testing.T) {
	date := time.Unix(1_790_000_000, 0)
	all := []*cobra.Command{cmd.Root()}
	for i := 0; i < len(all); i++ {
		all = append(all, all[i].Commands()...)
	}
	if len(all) < 50 {
		t.Fatalf("only %d commands", len(all))
	}
	for _, c := range all {
		if manSection(c) == "" {
			continue
		}
		c.InitDefaultHelpFlag()
		page := manPage(c, date)
		if !strings.HasPrefix(page, `.TH "`) || !strings.Contains(page, " 2026-09-21 ") {
			t.Errorf("%s: %.80s", c.CommandPath(), page)
		}
		for line := range strings.Lines(c.Example) {
			if !strings.Contains(page, "\n"+roff(strings.TrimRight(line, "\n"))+"\n") {
				t.Errorf("the page of '%s' lacks %q", c.CommandPath(), line)
			}
		}
		if strings.Contains(c.Long, "Exit statuses:") != strings.Contains(page, ".SH EXIT STATUS\n") {
			t.Errorf("the page of '%s' and its help differ in exit statuses", c.CommandPath())
		}
		if leads := strings.Contains(page, `fob\-settings\fP(7)`+"\n"); leads != (c.CommandPath() == "fob login" || c.CommandPath() == "fob profile set") && c.HasParent() {
			t.Errorf("the page of '%s' leads to that of the settings: %t", c.CommandPath(), leads)
		}
		for line := range strings.Lines(page) {
			request, _, _ := strings.Cut(line, " ")
			if line[0] == '.' && !strings.Contains(" .TH .SH .SS .PP .TP .EX .EE .B ", " "+strings.TrimSpace(request)+" ") || line[0] == '\'' {
				t.Errorf("the page of '%s' has the request %q", c.CommandPath(), line)
			}
		}
	}
}

// What stands behind the exit statuses is no part of them.
func TestManualOfAHelpThatGoesOn(t *testing.T) {
	c := &cobra.Command{Use: "x", Short: "Do it", Long: "Do it.\n\nExit statuses: 0 done,\n  1 failed\n\nMore.", Run: func(*cobra.Command, []string) {}}
	page := manPage(c, time.Time{})
	if !strings.Contains(page, "Do it.\n.PP\nMore.\n.SH EXIT STATUS\n") || !strings.HasSuffix(page, ".B 1\nfailed\n") {
		t.Error(page)
	}
}

func TestManualListsExitStatuses(t *testing.T) {
	got := manStatuses("those of the program; 125 fob failed, or the call is wrong,\n  126 it cannot be run")
	want := "those of the program\n.TP\n.B 125\nfob failed, or the call is wrong\n.TP\n.B 126\nit cannot be run\n"
	if got != want {
		t.Errorf("%s", got)
	}
}
