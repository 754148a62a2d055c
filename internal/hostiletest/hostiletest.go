// Package hostiletest has texts that no terminal and no CI runner may get, for tests.
package hostiletest

import (
	"fmt"
	"strings"
	"unicode"
)

// Hostile is what another program wrote into the registry: commands for the terminal,
// for CI runners, and for whoever copies a hint into a shell.
const Hostile = "x\x1b]0;t\a\u009b31m\u202e##vso[task.prependpath]/tmp\n::stop-commands::x\n\t:4\n;touch pwned;"

// Texts is what somebody may write into a name: commands for terminals and for CI
// runners, at every place where these recognise them.
func Texts() []string {
	return []string{
		Hostile,
		"\x1b[31mred\x1b[0m", "\x1b]52;c;aGk=\a", "\u009b31m\u0090q", "\u202eevil\u2066", "a\u200bb\U000e0041",
		"a\nerror: all is well", "a\r\nhint: run evil", "a\u2028b\u0085c",
		"::stop-commands::x", " \t::set-env name=A::b", "\u200b::add-mask::x", "\u00a0::error::x", "x\n  ::stop-commands::y",
		"see ##[set-env name=A]b", "see ##vso[task.prependpath]/tmp", "#\u200b#vso[task.setvariable variable=A]b", "##teamcity[setParameter name='a']",
		"section_start:1:x[collapsed=true]\r\x1b[0Kx", "\xff\xfe##\xffvso[x]", "##" + strings.Repeat("#", 50) + "[x]",
	}
}

// Recognised is what a terminal or a CI runner would act on in a text, or "".
func Recognised(text string) string {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		for _, r := range line {
			if r != '\t' && r != ' ' && (!unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) || unicode.IsSpace(r)) {
				return fmt.Sprintf("%U in %q", r, line)
			}
		}
		if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##") {
			return line
		}
	}
	return ""
}
