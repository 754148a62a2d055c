package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fobcli/fob/cmd"
)

// writeShare writes what packages bring beside the program: man pages and completions.
// The same version and date give the same bytes.
func writeShare(dir string, date time.Time) error {
	root := cmd.Root()
	if err := writeManual(root, dir, date); err != nil {
		return err
	}
	for name, generate := range map[string]func(io.Writer) error{
		"fob.bash": func(w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"_fob":     root.GenZshCompletion,
		"fob.fish": func(w io.Writer) error { return root.GenFishCompletion(w, true) },
		"fob.ps1":  root.GenPowerShellCompletionWithDesc,
	} {
		var script bytes.Buffer
		if err := generate(&script); err != nil {
			return err
		}
		if err := writeShared(filepath.Join(dir, "completions", name), script.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func writeShared(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

// writeManual writes the page of a command, and of all below it.
func writeManual(c *cobra.Command, dir string, date time.Time) error {
	if section := manSection(c); section != "" {
		var page bytes.Buffer
		zip := gzip.NewWriter(&page)
		if _, err := io.WriteString(zip, manPage(c, date)); err != nil {
			return err
		}
		if err := zip.Close(); err != nil {
			return err
		}
		if err := writeShared(filepath.Join(dir, "man", "man"+section, manName(c)+"."+section+".gz"), page.Bytes()); err != nil {
			return err
		}
	}
	for _, sub := range c.Commands() {
		if err := writeManual(sub, dir, date); err != nil {
			return err
		}
	}
	return nil
}

// manSection is 1 for commands and 7 for the topics of 'fob help'; empty is no page.
func manSection(c *cobra.Command) string {
	switch {
	case c.IsAdditionalHelpTopicCommand():
		return "7"
	case c.IsAvailableCommand():
		return "1"
	}
	return ""
}

func manName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func manReference(c *cobra.Command) string {
	return `\fB` + roff(manName(c)) + `\fP(` + manSection(c) + ")"
}

// manPage is a command's help in roff, with all of its flags.
func manPage(c *cobra.Command, date time.Time) string {
	var b strings.Builder
	section := manSection(c)
	fmt.Fprintf(&b, ".TH \"%s\" %s %s \"fob %s\" \"fob manual\"\n", roff(strings.ToUpper(manName(c))), section, date.UTC().Format(time.DateOnly), roff(c.Root().Version))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(manName(c)), roff(c.Short))
	if section == "1" {
		use := strings.TrimPrefix(c.UseLine(), c.CommandPath())
		if c.HasAvailableSubCommands() {
			use = " COMMAND [flags]"
		}
		fmt.Fprintf(&b, ".SH SYNOPSIS\n\\fB%s\\fP%s\n", roff(c.CommandPath()), roff(use))
	}
	before, after, _ := strings.Cut(cmp.Or(c.Long, c.Short), "Exit statuses: ")
	statuses, behind, _ := strings.Cut(after, "\n\n")
	b.WriteString(".SH DESCRIPTION\n" + manText(before+behind))
	b.WriteString(manFlags(c))
	if statuses != "" {
		b.WriteString(".SH EXIT STATUS\n" + manStatuses(statuses))
	}
	if c.Example != "" {
		b.WriteString(".SH EXAMPLES\n" + verbatim(c.Example))
	}
	b.WriteString(manCommands(c))
	return b.String()
}

// manText sets paragraphs; one in which a line is indented stays as it is.
func manText(text string) string {
	var b strings.Builder
	between := "" // no request where a section has just begun
	for paragraph := range strings.SplitSeq(strings.Trim(text, "\n"), "\n\n") {
		title, isTitle := strings.CutPrefix(paragraph, "#### ")
		if isTitle {
			b.WriteString(".SS " + roff(strings.TrimSuffix(title, ":")) + "\n")
			between = ""
			continue
		}
		b.WriteString(between)
		between = ".PP\n"
		if strings.Contains("\n"+paragraph, "\n ") || strings.Contains("\n"+paragraph, "\n\t") {
			b.WriteString(verbatim(paragraph))
		} else {
			b.WriteString(roffLines(paragraph))
		}
	}
	return b.String()
}

func verbatim(text string) string {
	return ".EX\n" + roffLines(strings.ReplaceAll(text, "\t", "  ")) + ".EE\n"
}

// manStatuses lists what exitHelp has in a few lines: a number begins each item.
func manStatuses(text string) string {
	var b strings.Builder
	var items []string
	for word := range strings.FieldsSeq(text) {
		if len(items) == 0 || word[0] >= '0' && word[0] <= '9' {
			items = append(items, word)
		} else {
			items[len(items)-1] += " " + word
		}
	}
	for _, item := range items {
		item = strings.TrimRight(item, ",;")
		if number, meaning, found := strings.Cut(item, " "); found && strings.Trim(number, "0123456789") == "" {
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", number, roff(meaning))
		} else {
			b.WriteString(roff(item) + "\n")
		}
	}
	return b.String()
}

// manFlags lists every flag but those of all commands.
func manFlags(c *cobra.Command) string {
	var b strings.Builder
	c.LocalFlags().VisitAll(func(flag *pflag.Flag) {
		if flag.Name == "help" || flag.Name == "version" {
			return
		}
		placeholder, usage := pflag.UnquoteUsage(flag)
		name := "--" + flag.Name
		if flag.Shorthand != "" {
			name = "-" + flag.Shorthand + ", " + name
		}
		if placeholder != "" && flag.NoOptDefVal == "" {
			placeholder = ` \fI` + roff(placeholder) + `\fP`
		} else {
			placeholder = ""
		}
		switch flag.DefValue {
		case "", "0", "0s", "false", "[]":
		default:
			usage += " (default " + flag.DefValue + ")"
		}
		fmt.Fprintf(&b, ".TP\n\\fB%s\\fP%s\n%s\n", roff(name), placeholder, roff(usage))
	})
	if b.Len() == 0 {
		return ""
	}
	return ".SH OPTIONS\n" + b.String()
}

// moreFlags is the annotation of cmd's commands whose other flags 'fob help settings' has.
const moreFlags = "more flags"

// manCommands lists what is below a command by groups, and leads to what is above it.
func manCommands(c *cobra.Command) string {
	var b strings.Builder
	list := func(title string, meant func(*cobra.Command) bool) {
		for _, sub := range c.Commands() {
			if meant(sub) {
				b.WriteString(title)
				fmt.Fprintf(&b, ".TP\n%s\n%s\n", manReference(sub), roff(sub.Short))
				title = ""
			}
		}
	}
	ofGroup := func(id string) func(*cobra.Command) bool {
		return func(sub *cobra.Command) bool { return sub.GroupID == id && sub.IsAvailableCommand() }
	}
	for _, group := range c.Groups() {
		list(".SS "+roff(strings.TrimSuffix(group.Title, ":"))+"\n", ofGroup(group.ID))
	}
	list("", ofGroup(""))
	list(".SS Topics\n", (*cobra.Command).IsAdditionalHelpTopicCommand)
	text := b.String()
	if text != "" {
		text = ".SH COMMANDS\n" + text
	}
	if c.HasParent() {
		text += ".SH SEE ALSO\n" + manReference(c.Parent())
		if c.Annotations[moreFlags] != "" {
			text += ",\n" + `\fBfob\-settings\fP(7)`
		}
		text += "\n"
	}
	return text
}

func roffLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(roff(strings.TrimRight(line, "\n")) + "\n")
	}
	return b.String()
}

// roff escapes a line, so that it can be copied from the page as it was.
func roff(line string) string {
	var b strings.Builder
	if line != "" && strings.ContainsRune(".'", rune(line[0])) {
		b.WriteString(`\&`)
	}
	for _, r := range line {
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`)
		case r == '\'':
			b.WriteString(`\(aq`)
		case r == '"':
			b.WriteString(`\(dq`)
		case r == '`':
			b.WriteString(`\(ga`)
		case r == '^':
			b.WriteString(`\(ha`)
		case r == '~':
			b.WriteString(`\(ti`)
		case r >= utf8.RuneSelf:
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
