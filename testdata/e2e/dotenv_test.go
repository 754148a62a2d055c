package e2e

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	compose "github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/joho/godotenv"

	"github.com/fobcli/fob/internal/dotenv"
)

// dotenvValues are values that are hard to write, and many that are put together from what
// some reader of .env files treats specially.
func dotenvValues() []string {
	parts := []string{
		"'", `"`, `\`, "$", "`", "\n", " ", "\t", "#", " #", "=", ":", "!", "%", "~", "*", ";", "&", "|", "(", ")", "<", ">", "{", "}", "[", "?", "^", ",", "@",
		"${A}", "$A", "${", "${A:-b}", "${A:b}", "$$", "$(id)", `\n`, `\\`, `\'`, `\"`, `\$`, "\\`", `\t`, `\x41`, `\0101`, `''`, `""`, "\n\n", "\nB=1", "\n#", "export ",
		"a", "Z9", "ä", "日本", "\u00a0", "\u2028", "\u0085", "\ufeff", "\x7f", "\x01", "\x1b", "\v", "\f", "fob://", "fob://token/work", "\xff", "\xc2",
	}
	values := []string{
		"", "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n", strings.Repeat("x", 100<<10),
		`{"type":"service_account","private_key":"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n","client_email":"a@b.example"}`,
		`{"name": "it's"}`, "postgres://shop:p%40ss#w@localhost/shop?sslmode=require", `C:\Users\shop\`, "it's", "$2b$12$abc", "fob_live_1OOivdDZfQCU_bt6gO89NcUzYEW1pIKnvsU7LGdgMmGxA18PCV4",
	}
	for _, a := range parts {
		values = append(values, a, "a"+a, a+"a", "a"+a+"b")
	}
	random := rand.New(rand.NewPCG(1, 2))
	for len(values) < 6000 {
		var b strings.Builder
		for range 1 + random.IntN(8) {
			b.WriteString(parts[random.IntN(len(parts))])
		}
		values = append(values, b.String())
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// dotenvFiles writes a file for each value, between two other variables; every other line
// has a comment.
func dotenvFiles(t *testing.T, values []string) string {
	t.Helper()
	dir := t.TempDir()
	for i, value := range values {
		text := "# it's a \"test\"\nexport FIRST='1'\nV=old\nLAST=\"2\" # the 'end'\n"
		if i%2 == 1 {
			text = strings.Replace(text, "V=old", `export V="old"	# don't "quote" $A`, 1)
		}
		text, err := dotenv.Set(text, "V", value)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)+".env"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// dotenvReaders returns by reader, as fob calls them, what it reads in each file; nil if it fails.
func dotenvReaders(t *testing.T, dir string, count int) map[string][]map[string]string {
	t.Helper()
	output := func(name string, args ...string) []byte {
		t.Helper()
		var stderr bytes.Buffer
		c := exec.Command(name, append(args, dir, strconv.Itoa(count))...)
		c.Stderr = &stderr
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, stderr.String())
		}
		return out
	}
	read := make(map[string][]map[string]string)
	add := func(name string, variables map[string]string, err error) {
		if err != nil {
			variables = nil
		}
		read[name] = append(read[name], variables)
	}
	var js struct{ NPM, Node []map[string]string }
	if err := json.Unmarshal(output("node", "dotenv.mjs"), &js); err != nil {
		t.Fatal(err)
	}
	read["npm's dotenv"], read["node --env-file"] = js.NPM, js.Node
	var py []map[string]string
	if err := json.Unmarshal(output("/usr/bin/python3", "-c", dotenvPython), &py); err != nil {
		t.Fatal(err)
	}
	read["python-dotenv"] = py
	fields := strings.Split(string(output("sh", "-c", dotenvShell, "sh")), "\x00")
	for i := range count {
		text, err := os.ReadFile(filepath.Join(dir, strconv.Itoa(i)+".env"))
		if err != nil || len(fields) != 3*count+1 {
			t.Fatal(err, len(fields))
		}
		add("sh", map[string]string{"V": fields[3*i], "FIRST": fields[3*i+1], "LAST": fields[3*i+2]}, nil)
		variables, err := compose.Parse(bytes.NewReader(text))
		add("Docker Compose", variables, err)
		variables, err = godotenv.Parse(bytes.NewReader(text))
		add("godotenv", variables, err)
	}
	return read
}

const dotenvPython = `
import json, logging, sys
from dotenv import dotenv_values
logging.disable()
def read(path):
    try:
        return dotenv_values(path)
    except UnicodeDecodeError:
        return None
json.dump([read(f"{sys.argv[1]}/{i}.env") for i in range(int(sys.argv[2]))], sys.stdout)
`

const dotenvShell = `
i=0
while test $i -lt $2; do
	V= FIRST= LAST=
	. "$1/$i.env"
	printf '%s\0%s\0%s\0' "$V" "$FIRST" "$LAST"
	i=$((i + 1))
done
`

// Every reader reads each value as it was delivered, or fob names it as one that does not,
// and then it does not.
func TestDotenv_ReadersAgreeWithTheWarning(t *testing.T) {
	values := dotenvValues()
	if len(values) < 5000 {
		t.Fatalf("only %d values", len(values))
	}
	read := dotenvReaders(t, dotenvFiles(t, values), len(values))
	for _, name := range slices.Sorted(maps.Keys(read)) {
		wrong := 0
		for i, value := range values {
			want := map[string]string{"FIRST": "1", "V": value, "LAST": "2"}
			warned := slices.Contains(dotenv.NotReadBy(value), name)
			if maps.Equal(read[name][i], want) == warned {
				if wrong++; wrong < 30 {
					t.Errorf("%s: %q is read as %q; warned: %t", name, value, read[name][i]["V"], warned)
				}
			}
		}
	}
}

// fob itself, and Node as it is started, read what is delivered byte for byte.
func TestDotenv_RoundTrip(t *testing.T) {
	m := newMachine(t)
	for name, program := range map[string][]string{
		"fob exec --env-file": {fob, "exec", "--env-file", "FILE", "--", "env", "-0"},
		"node --env-file":     {"node", "--env-file=FILE", "-e", `for (const [k, v] of Object.entries(process.env)) process.stdout.write(k + "=" + v + "\0")`},
	} {
		want, text := make(map[string]string), "\ufeff# \"it's\"\r\n"
		if strings.HasPrefix(name, "node") {
			text = ""
		}
		for i, value := range dotenvValues() {
			if slices.Contains(dotenv.NotReadBy(value), name) {
				continue
			}
			variable := "V" + strconv.Itoa(i)
			want[variable] = value
			text += dotenv.Line(variable, value) + "\n"
		}
		path := filepath.Join(m.home, "all.env")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := m.command(strings.Split(strings.ReplaceAll(strings.Join(program, "\x00"), "FILE", path), "\x00")...).Output()
		if err != nil {
			t.Fatal(name, err)
		}
		got := make(map[string]string)
		for _, line := range strings.Split(string(out), "\x00") {
			variable, value, _ := strings.Cut(line, "=")
			got[variable] = value
		}
		for variable, value := range want {
			if got[variable] != value {
				t.Errorf("%s: %q is read as %q", name, value, got[variable])
			}
		}
		if len(want) < 3000 {
			t.Errorf("%s: only %d values", name, len(want))
		}
	}
}
