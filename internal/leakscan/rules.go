package leakscan

import (
	"fmt"
	"strings"

	"github.com/fobcli/fob/internal/apikey"
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
	var rules, rule string // a rule has the brand and its expression
	switch format {
	case "gitleaks", "betterleaks": // without this, the scanner's own rules are off
		rules = "[extend]\nuseDefault = true\n\n"
		rule = `[[rules]]
id = "%[1]s-api-key"
description = "API key of %[1]s"
regex = '''%[2]s'''
keywords = ["%[1]s_"]

`
	case "trufflehog":
		rules = "detectors:\n"
		rule = `  - name: %[1]s API key
    keywords: ["%[1]s_"]
    regex:
      key: '%[2]s'
`
	case "github": // the fields of a custom pattern, which by default requires boundaries
		rule = `Pattern name:    %s API key
Secret format:   %s
Before secret:   \A|[\s\S]
After secret:    \z|[\s\S]

`
	default:
		return "", fmt.Errorf("unknown format %.40q: use one of %s", format, strings.Join(Formats(), ", "))
	}
	for _, brand := range brands {
		if err := apikey.CheckBrand(brand); err != nil {
			return "", err
		}
		rules += fmt.Sprintf(rule, brand, Expression(brand))
	}
	return rules, nil
}
