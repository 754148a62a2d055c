package dotenv

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, c := range []struct{ text, value string }{
		{"A=1", "1"},
		{"A=", ""},
		{"A= \t", ""},
		{"\ufeffA=1\n", "1"},
		{"\ufeffexport\tA=1\r\n", "1"},
		{"  export \t A = 1 \r\n", "1"},
		{"A=1 # note", "1"},
		{"A=1\t# note", "1"},
		{"A= # note", ""},
		{"A=#1", "#1"},
		{"A=1#2", "1#2"},
		{"A=it's \"x\" $HOME", `it's "x" $HOME`},
		{`A="x y" # c`, "x y"},
		{`A='x y'	# it's "c"`, "x y"},
		{`A= "x"`, "x"},
		{`A=''`, ""},
		{"A='one\ntwo'\n", "one\ntwo"},
		{"A=\"one\r\ntwo\"\r\n", "one\ntwo"},
		{`A='\n\\ "$B"'`, `\n\\ "$B"`},
		{`A="\n\r\\n\"\$\` + "`" + `\x"`, "\n\r\\n\"$`" + `\x`},
		{`A="x\\"`, `x\`},
		{"A=" + long, long},
		{"# " + long + "\n\nA='x' # " + long, "x"},
	} {
		got, err := Parse(c.text)
		if err != nil || len(got) != 1 || got[0].Name != "A" || got[0].Value != c.value {
			t.Errorf("%.80q: %.80v, %v", c.text, got, err)
		}
	}
	got, err := Parse("# A=no\r\nA='1\n2'\n\n B=\"3\" #\nA=4")
	if want := []Variable{{"A", "1\n2", 2}, {"B", "3", 5}, {"A", "4", 6}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestParse_NamesLineAndReason(t *testing.T) {
	for text, want := range map[string]string{
		"A='1\n2'\nwhat is this\n":    "line 3: not NAME=VALUE",
		"export A":                    "line 1: not NAME=VALUE",
		"A B=1":                       "line 1: not NAME=VALUE",
		"1A=1":                        "line 1: not NAME=VALUE",
		"=1":                          "line 1: not NAME=VALUE",
		"exportA B=1":                 "line 1: not NAME=VALUE",
		"A=1\nB='x\nC=1\n":            "line 2: a quote is not closed",
		"A=1\nB=\"x\\\"\nC=1\n":       "line 2: a quote is not closed",
		"A='it'\\''s'":                "line 1: text after the closing quote",
		"\nA=\"1\n2\"#c\n":            "line 2: text after the closing quote",
		"A=\"1\" \"2\"":               "line 1: text after the closing quote",
		"# a\r\n# b\r\nA=\"x\" y # c": "line 3: text after the closing quote",
	} {
		got, err := Parse(text)
		if wrong := new(SyntaxError); !errors.As(err, &wrong) || wrong.Error() != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestSet(t *testing.T) {
	for _, c := range []struct{ name, before, value, after string }{
		{"an empty file", "", "v", "A=v\n"},
		{"only a BOM", "\ufeff", "v", "\ufeffA=v\n"},
		{"added at the end", "# why\nB=1", "v", "# why\nB=1\nA=v\n"},
		{"added where lines end as on Windows", "B=1\r\nC=2", "v", "B=1\r\nC=2\r\nA=v\r\n"},
		{"a comment above", "# why\nA=old\nB=1\n", "v", "# why\nA=v\nB=1\n"},
		{"a comment behind", "A=old # why\n", "v", "A='v' # why\n"},
		{"a comment behind quotes", "A=\"old\"\t# it's\r\nB=1\n", "v", "A='v'\t# it's\r\nB=1\n"},
		{"a comment behind nothing", "A= # why", "v", "A='v' # why"},
		{"export and blanks", "  export A = old  \n", "v", "  export A = v  \n"},
		{"export and a tab", "export\tA=old\n", "v", "export\tA=v\n"},
		{"a BOM before it", "\ufeffA=old\nB=1", "v", "\ufeffA=v\nB=1"},
		{"assigned twice", "A=1\nB=2\nA=3", "v", "A=v\nB=2\nA=v"},
		{"a name that ends alike", "AA=1\nXA=2\nexportA=3\n", "v", "AA=1\nXA=2\nexportA=3\nA=v\n"},
		{"a comment that looks like it", "#A='x\nB=1\n", "v", "#A='x\nB=1\nA=v\n"},
		{"each line's own ending", "A=1\r\nB=2\nA=3\n\r\n", "v", "A=v\r\nB=2\nA=v\n\r\n"},
		{"an old value of several lines", "A=\"one\ntwo\\\"\nA=no\n\"\r\nB=1\n", "v", "A=v\r\nB=1\n"},
		{"another's value of several lines", "B='\nA=not this\n'\n", "v", "B='\nA=not this\n'\nA=v\n"},
		{"lines that are not fob's", "what\nx y=1\nB='1' 2\n", "v", "what\nx y=1\nB='1' 2\nA=v\n"},
		{"blanks", "", "a b", "A='a b'\n"},
		{"a dollar", "", "a$b", "A='a$b'\n"},
		{"an apostrophe", "", "it's\n", "A=\"it's\n\"\n"},
		{"quotes of both kinds", "", `a'b"$`, "A=\"a'b\\\"\\$\"\n"},
		{"several lines", "", "a\nb", "A='a\nb'\n"},
		{"a backslash at the end", "", `a\`, `A="a\\"` + "\n"},
		{"nothing", "A=1\n", "", "A=''\n"},
	} {
		got, err := Set(c.before, "A", c.value)
		if err != nil || got != c.after {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.after)
		}
	}
	for text, want := range map[string]string{
		"\nB=\"open\nA=1\n":       "line 2: a quote is not closed",
		"B=1\nA='1' 2\n":          "line 2: text after the closing quote",
		"B='1\n2'\n\nA='it'\\''s": "line 4: text after the closing quote",
	} {
		if got, err := Set(text, "A", "v"); err == nil || err.Error() != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestGet(t *testing.T) {
	for text, want := range map[string]string{"": "", "B=1": "", "A=1\nwhat\nA='2' # c\nB=3": "2", "\ufeffA=1\nB='open": "1", "#A=1": ""} {
		if got := Get(text, "A"); got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
}

func TestReplaceKey(t *testing.T) {
	for _, c := range []struct{ text, old, after string }{
		{"A=k_old_secret\n", "k_old_", "A=k_new_hidden\n"},
		{"# k_old_secret, k_old_secre, k_old_sec-et\nB=\"x:k_old_secretk_old_secret\"", "k_old_", "# k_new_hidden, k_old_secre, k_old_sec-et\nB=\"x:k_new_hiddenk_new_hidden\""},
		{"k_old_k_old_secret", "k_old_", "k_old_k_new_hidden"},
		{"A=k_old_secret", "k_old_secret", "A=k_new_hidden"},
		{"A=k_old_secret", "k_old_secret_longer", "A=k_old_secret"},
		{"A=k_old_secret", "", "A=k_old_secret"},
		{"", "k_old_", ""},
	} {
		if got := ReplaceKey(c.text, c.old, "k_new_hidden"); got != c.after {
			t.Errorf("%q: %q, not %q", c.text, got, c.after)
		}
	}
}

func TestNotReadBy(t *testing.T) {
	for value, want := range map[string]string{
		"":           "",
		"it's\n":     "",
		`{"a":"\n"}`: "",
		"$A `b` #":   "",
		"it's $5":    "npm's dotenv, node --env-file, python-dotenv",
		`it's "5"`:   "npm's dotenv, node --env-file, godotenv",
		"it's `5`":   "npm's dotenv, node --env-file, python-dotenv, Docker Compose",
		`C:\`:        "npm's dotenv, node --env-file, python-dotenv, godotenv",
		`\\host`:     "python-dotenv",
		"${A}":       "python-dotenv",
		"${${A:-b}":  "python-dotenv",
		"${A:b} ${":  "",
		"\xff":       "npm's dotenv, node --env-file, python-dotenv",
		"fob://x":    "fob exec --env-file",
	} {
		if got := strings.Join(NotReadBy(value), ", "); got != want {
			t.Errorf("%q: %q, not %q", value, got, want)
		}
	}
}

// Whatever is in a file: what is set is read, and nothing else changes.
func FuzzSet(f *testing.F) {
	for _, text := range []string{
		"", "\ufeff", "A=1", "# why\r\nexport\tA = old # it's\r\nB='x\ny' # c", "A=\"a\\\"b\\\\\"\nA=\n", "B=it's\n=\nA B=1\n'A'=x\n", "A='x'y\n", "B=\"open", "\ufeffA= #\n\n \t\nexport A\n", "A=\r\r\n#\rA=2\x00",
	} {
		for _, value := range []string{"", "v", "it's", "a\nb", `\`, `\n'`, "`$\"'\\", " # ", "\xff\ufeff", "${A}"} {
			f.Add(text, value)
		}
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		if strings.ContainsAny(value, "\r\x00") {
			return
		}
		before, unread := Parse(text)
		changed, err := Set(text, "A", value)
		if err != nil {
			if unread == nil {
				t.Fatalf("%q can be read, and not written: %v", text, err)
			}
			return
		}
		again, err := Set(changed, "A", value)
		if err != nil || again != changed {
			t.Fatalf("%q, then %q, %v", changed, again, err)
		}
		if got := Get(changed, "A"); got != value {
			t.Fatalf("%q: %q, not %q", changed, got, value)
		}
		after, err := Parse(changed)
		if (err == nil) != (unread == nil) {
			t.Fatalf("%q: %v; %q: %v", text, unread, changed, err)
		}
		if err != nil {
			return
		}
		want := slices.Clone(before)
		for i := range want {
			if want[i].Name == "A" {
				want[i].Value = value
			}
		}
		if !slices.ContainsFunc(want, func(v Variable) bool { return v.Name == "A" }) {
			want = append(want, Variable{Name: "A", Value: value})
		}
		same := func(a, b Variable) bool { return a.Name == b.Name && a.Value == b.Value }
		if !slices.EqualFunc(after, want, same) {
			t.Fatalf("%q: %v, not %v", changed, after, want)
		}
		if line := Line("A", value); utf8.ValidString(value) && !utf8.ValidString(line) {
			t.Fatalf("%q", line)
		}
	})
}
