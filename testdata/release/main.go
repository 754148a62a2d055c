// Command release makes what a release holds beside the program:
//
//	release share FOLDER    man pages and completions; SOURCE_DATE_EPOCH is their date
//	release sbom FILE TO    the bill of materials of a built fob, as CycloneDX
//
// The same source gives the same bytes: a generator that stamps the time, or a number
// that it has drawn, would make no two builds alike.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	date := time.Unix(epoch, 0).UTC()
	switch {
	case len(args) == 2 && args[0] == "share":
		return writeShare(args[1])
	case len(args) == 3 && args[0] == "sbom":
		return writeSBOM(args[1], args[2], date)
	}
	return errors.New("it takes: share FOLDER, or sbom FILE TO")
}

// component is one in CycloneDX's words.
type component struct {
	Type    string `json:"type"`
	Ref     string `json:"bom-ref"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	PURL    string `json:"purl,omitempty"`
	Hashes  []hash `json:"hashes,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type metadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

type bom struct {
	Format       string       `json:"bomFormat"`
	Spec         string       `json:"specVersion"`
	Serial       string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

// writeSBOM lists the modules that a program says it was built of, and Go itself.
func writeSBOM(program, to string, date time.Time) error {
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	if len(info.Deps) == 0 {
		return fmt.Errorf("%s says nothing of what it was built of", program)
	}
	sum := sha256.Sum256(content)
	main := component{
		Type: "application", Ref: "fob", Name: filepath.Base(program), Version: os.Getenv("FOB_VERSION"),
		Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}},
	}
	document := bom{
		Format: "CycloneDX", Spec: "1.6", Serial: serial(sum), Version: 1,
		Metadata:   metadata{date.Format(time.RFC3339), main},
		Components: components(info),
	}
	root := dependency{Ref: main.Ref}
	for _, c := range document.Components {
		root.DependsOn = append(root.DependsOn, c.Ref)
	}
	document.Dependencies = []dependency{root}
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(to, append(text, '\n'), 0o644)
}

func components(info *debug.BuildInfo) []component {
	version := strings.TrimPrefix(info.GoVersion, "go")
	library := "pkg:golang/stdlib@" + version // the name by which scanners know it
	all := []component{{Type: "library", Ref: library, Name: "stdlib", Version: version, PURL: library}}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		url := "pkg:golang/" + module.Path + "@" + module.Version
		all = append(all, component{Type: "library", Ref: url, Name: module.Path, Version: module.Version, PURL: url})
	}
	return all
}

// serial is a UUID of the program's hash: version 8, of one's own making.
func serial(sum [sha256.Size]byte) string {
	id := sum[:16]
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
