package leakscan

import (
	"fmt"
	"strings"
)

// Masked is a key without its secret: what may be shown of it.
func (f Finding) Masked() string { return fmt.Sprintf("%s_%s_%s_…", f.Brand, f.Environment, f.ID) }

// Formats lists the scanners that Rules knows.
func Formats() []string { return []string{"gitleaks", "betterleaks", "trufflehog", "github"} }

// Expression matches the keys of a brand. It has no boundaries, so that a key behind a
// letter, a JSON escape or another key is found.
func Expression(brand string) string {
	return brand + `_[a-z0-9]{2,12}_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}`
}

// Rules writes rules for a scanner that find the keys of some brands.
func Rules(format string, brands []string) (string, error) {
	write := map[string]func(brand string) string{
		"gitleaks": gitleaksRule, "betterleaks": gitleaksRule, "trufflehog": trufflehogRule, "github": githubRule,
	}[format]
	if write == nil {
		return "", fmt.Errorf("unknown format %.40q: use one of %s", format, strings.Join(Formats(), ", "))
	}
	var b strings.Builder
	if format == "trufflehog" {
		b.WriteString("detectors:\n")
	} else if format != "github" { // without this, the scanner's own rules are off
		b.WriteString("[extend]\nuseDefault = true\n\n")
	}
	for _, brand := range brands {
		b.WriteString(write(brand))
	}
	return b.String(), nil
}

func gitleaksRule(brand string) string {
	return fmt.Sprintf(`[[rules]]
id = "%[1]s-api-key"
description = "API key of %[1]s"
regex = '''%[2]s'''
keywords = ["%[1]s_"]

`, brand, Expression(brand))
}

func trufflehogRule(brand string) string {
	return fmt.Sprintf(`  - name: %[1]s API key
    keywords: ["%[1]s_"]
    regex:
      key: '%[2]s'
`, brand, Expression(brand))
}

// githubRule returns the fields of a custom pattern of GitHub's secret scanning, which by
// default requires boundaries.
func githubRule(brand string) string {
	return fmt.Sprintf(`Pattern name:    %s API key
Secret format:   %s
Before secret:   \A|[\s\S]
After secret:    \z|[\s\S]

`, brand, Expression(brand))
}
