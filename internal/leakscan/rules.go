package leakscan

import (
	"fmt"
	"strings"
)

// Formats lists the scanners that Rules knows.
func Formats() []string { return []string{"gitleaks", "betterleaks", "trufflehog", "github"} }

// Expression matches the keys of a brand and captures each in its first group. What
// stands before and behind is not taken: the second of two beside each other matches
// too, and so does API_KEY_acme_….
func Expression(brand string) string {
	return fmt.Sprintf(`(?:^|[^0-9A-Za-z])(%s_[a-z0-9]{2,12}_[0-9A-Za-z]{12}_[0-9A-Za-z]{38})\b`, brand)
}

// Rules writes rules for a scanner that find the keys of some brands.
func Rules(format string, brands []string) (string, error) {
	write := map[string]func(brand string) string{
		"gitleaks": gitleaksRule, "betterleaks": gitleaksRule, "trufflehog": trufflehogRule, "github": githubRule,
	}[format]
	if write == nil {
		return "", fmt.Errorf("there is no format %.40q: there are %s", format, strings.Join(Formats(), ", "))
	}
	var b strings.Builder
	if format == "trufflehog" {
		b.WriteString("detectors:\n")
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
secretGroup = 1
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

// githubRule are the fields of a custom pattern of GitHub's secret scanning.
func githubRule(brand string) string {
	return fmt.Sprintf(`Pattern name:    %[1]s API key
Secret format:   %[1]s_[a-z0-9]{2,12}_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}
Before secret:   \A|[^0-9A-Za-z]
After secret:    \z|[^0-9A-Za-z]

`, brand)
}
