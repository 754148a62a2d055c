package sanitize

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestH61RemoteTextIsInert(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"plain", "invalid_grant: token expired", "invalid_grant: token expired"},
		{"other scripts", "Ключ недействителен 鍵 🔑", "Ключ недействителен 鍵 🔑"},
		{"escape", "\x1b[31mred\x1b[0m", "[31mred[0m"},
		{"OSC 52", "\x1b]52;c;aGk=\x07", "]52;c;aGk="},
		{"C1", "a\u009b31mb\u0085c", "a31mb c"},
		{"bidi", "user\u202egnp.exe\u2066x\u2069", "usergnp.exex"},
		{"zero width", "git\u200bhub\ufeff\u00ad", "github"},
		{"tags", "a\U000e0041b", "ab"},
		{"line breaks", "one\r\ntwo\nthree\u2028four", "one two three four"},
		{"blanks that fake a line", "ok" + strings.Repeat(" \t\u00a0\u3000", 40) + "hint: run this", "ok hint: run this"},
		{"blanks around", " \n x \n ", "x"},
		{"controls between blanks", "a \x00 \u200b b", "a b"},
		{"fillers and selectors", "git\u3164\u115f\u2800\u034f\ufe0f\U000e0100hub", "github"},
		{"replacement character", "a\ufffdb", "a\ufffdb"},
		{"NUL and DEL", "a\x00b\x7fc", "abc"},
		{"invalid UTF-8", "a\xff\xc0b", "ab"},
		{"empty", "", ""},
		{"a command for Azure's runner", "no ##vso[task.prependpath]/tmp/x", "no #vso[task.prependpath]/tmp/x"},
		{"a command for TeamCity, hidden", "#\u200b##teamcity[setParameter]", "#teamcity[setParameter]"},
		{"a command for GitHub's runner", " \x00::\u200b:stop-commands::x", ":stop-commands::x"},
		{"colons within", "a::b # # c", "a::b # # c"},
	} {
		t.Run("H61 "+test.name, func(t *testing.T) {
			if got := Line(test.in); got != test.want {
				t.Errorf("Line(%q) = %q, want %q", test.in, got, test.want)
			}
		})
	}
}

func TestLineIsCut(t *testing.T) {
	if got := Line(strings.Repeat("é", 1<<20)); utf8.RuneCountInString(got) != MaxLine+1 || !strings.HasSuffix(got, "…") {
		t.Errorf("a long text became %d characters", utf8.RuneCountInString(got))
	}
	if got := Line(strings.Repeat("x", MaxLine)); got != strings.Repeat("x", MaxLine) {
		t.Error("a text of MaxLine characters was changed")
	}
	if got := Line(strings.Repeat("x", MaxLine) + " \x00\n"); got != strings.Repeat("x", MaxLine) {
		t.Errorf("nothing to see was cut off, yet: %q", got[MaxLine:])
	}
	if got := Line(strings.Repeat("x", MaxLine-1) + " y"); got != strings.Repeat("x", MaxLine-1)+"…" {
		t.Errorf("cut at a blank: %q", got[MaxLine-1:])
	}
}

func TestH61LinesAreInertAndWhole(t *testing.T) {
	long := strings.Repeat("x", 2*MaxLine)
	in := "one \x1b[31m##vso[x]\n::stop-commands::x\n" + long
	if got, want := Lines(in), "one [31m#vso[x]\n:stop-commands::x\n"+long; got != want {
		t.Errorf("%q", got)
	}
}

func TestH61JSONIsInertAndExact(t *testing.T) {
	in := "a\u009b\x7f\u202e##vso\U000e0041é 鍵🔑\n\t::"
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out string
	if err := json.Unmarshal(JSON(text), &out); err != nil || out != in {
		t.Errorf("%q: %v", out, err)
	}
	if got, want := string(JSON(text)), `"a\u009b\u007f\u202e\u0023\u0023vso\udb40\udc41é 鍵🔑\n\t::"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestI75_TextKeepsItsLayoutAndNothingElse(t *testing.T) {
	for in, want := range map[string]string{
		"NAME      NOTE\n  a\tb  \n\n":                 "NAME      NOTE\n  a\tb  \n\n",
		"  ::stop-commands::x":                         "  :stop-commands::x",
		" \t\u00a0:\u200b:x\n\u3000::y":                " \t :x\n :y",
		"a ::x:: b: :c":                                "a ::x:: b: :c",
		"a\r::x\u0085::y\u2028::z\v::":                 "a ::x ::y ::z ::",
		"####[x] #\u202e#vso[":                         "#[x] #vso[",
		"# #\n##\n#":                                   "# #\n#\n#",
		"\x1b[31mred\x1b]52;c;x\a\u009b\x7f\xff\ufffd": "[31mred]52;c;x\ufffd",
		"::\n::": ":\n:",
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestI75_PartIsALineWithItsEnds(t *testing.T) {
	for in, want := range map[string]string{
		" (live)": " (live)", "\n\nx \t": " x ", "": "", " \n": "", "\x00 x": "x", "::x": ":x", "a\nhint: b": "a hint: b", strings.Repeat("x", 500): strings.Repeat("x", 500),
	} {
		if got := Part(in); got != want {
			t.Errorf("Part(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("\x1b]0;title\x07\u202e\xff\n::a::\u00a0::\n#\u200b##")
	f.Fuzz(func(t *testing.T, s string) {
		got := Text(s)
		if !utf8.ValidString(got) || Text(got) != got || strings.Count(got, "\n") != strings.Count(s, "\n") {
			t.Fatalf("Text(%q) = %q is not settled", s, got)
		}
		for line := range strings.Lines(got) {
			if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##") {
				t.Fatalf("Text(%q) keeps a command: %q", s, line)
			}
			for _, r := range strings.TrimSuffix(line, "\n") {
				if r != '\t' && (!unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) || r != ' ' && unicode.IsSpace(r)) {
					t.Fatalf("Text(%q) keeps %U", s, r)
				}
			}
		}
	})
}

func FuzzLine(f *testing.F) {
	f.Add("\x1b]0;title\x07\u202e\xff\n")
	f.Fuzz(func(t *testing.T, s string) {
		got := Line(s)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > MaxLine+1 {
			t.Fatalf("Line(%q) = %q", s, got)
		}
		if strings.Contains(got, "  ") || strings.TrimSpace(got) != got || Line(got) != got && utf8.RuneCountInString(got) <= MaxLine {
			t.Fatalf("Line(%q) = %q is not settled", s, got)
		}
		for _, r := range got {
			if !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) {
				t.Fatalf("Line(%q) keeps %U", s, r)
			}
		}
	})
}

func TestIsVisibleASCII(t *testing.T) {
	for text, want := range map[string]bool{
		"!az~": true, "": false, "a b": false, "a\n": false, "a\x00": false, "\x7f": false, "\u00e9": false, "::stop-commands::x": false, "a##vso[x]": false, "a::b#c": true, "\xff": false,
	} {
		if IsVisibleASCII(text) != want {
			t.Errorf("IsVisibleASCII(%q) = %t", text, !want)
		}
	}
}
