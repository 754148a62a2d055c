package vendortoken

import (
	"net/url"
	"path"
	"strconv"
	"strings"
	"testing"
)

func TestIdentify(t *testing.T) {
	for value, want := range map[string]string{
		"ghp_" + strings.Repeat("a", 36):                                "GitHub personal access token",
		"github_pat_" + strings.Repeat("a", 82):                         "GitHub fine-grained personal access token",
		"gho_" + strings.Repeat("a", 36):                                "GitHub OAuth access token",
		"ghs_" + strings.Repeat("a", 36):                                "GitHub App installation token",
		"glpat-" + strings.Repeat("a", 20):                              "GitLab access token",
		"xoxb-1234567890-" + strings.Repeat("a", 24):                    "Slack token",
		"xoxe.xoxp-1-" + strings.Repeat("a", 24):                        "Slack token",
		"sk_live_" + strings.Repeat("a", 24):                            "Stripe live API key",
		"rk_live_" + strings.Repeat("a", 24):                            "Stripe live API key",
		"AKIAIOSFODNN7EXAMPLE":                                          "AWS access key ID",
		"ASIAIOSFODNN7EXAMPLE":                                          "AWS temporary access key ID",
		"AIza" + strings.Repeat("a", 35):                                "Google API key",
		"GOCSPX-" + strings.Repeat("a", 28):                             "Google OAuth client secret",
		"npm_" + strings.Repeat("a", 36):                                "npm access token",
		"pypi-AgEIcHlwaS5vcmc" + strings.Repeat("a", 60):                "PyPI API token",
		"sk-ant-api03-" + strings.Repeat("a", 93):                       "Anthropic API key",
		"sk-proj-" + strings.Repeat("a", 100):                           "OpenAI API key",
		"hvs." + strings.Repeat("a", 24):                                "HashiCorp Vault token",
		"dop_v1_" + strings.Repeat("0", 64):                             "DigitalOcean token",
		"SG." + strings.Repeat("a", 22) + "." + strings.Repeat("b", 43): "SendGrid API key",
		"SK" + strings.Repeat("0", 32):                                  "Twilio API key SID",
		"shpat_" + strings.Repeat("0", 32):                              "Shopify token",
		"hf_" + strings.Repeat("a", 34):                                 "Hugging Face access token",
		"dckr_pat_" + strings.Repeat("a", 27):                           "Docker access token",
		"abc7Q~defghijklmnopqrs0t123456789-_.~":                         "Microsoft Entra client secret",
		"ya29.a0/b" + strings.Repeat("a", 40):                           "Google access token",
	} {
		if got, known := Identify(value); !known || got.Kind != want {
			t.Errorf("%s: %+v, not %s", value, got, want)
		}
	}
	for _, value := range []string{
		"", "ghp_", "sk-", "SKIPPED", "SK" + strings.Repeat("Z", 32), "AKIA", "npm_config", "npm_" + strings.Repeat("a", 37), "hf_hub", "acme_live_1OOivdDZfQCU_bt6gO89NcUzYEW1pIKnvsU7LGdgMmGxA18PCV4",
		"# What the tokens", "ghp_" + strings.Repeat("a", 30) + " bcdef", "x ghp_" + strings.Repeat("a", 36),
	} {
		if got, known := Identify(value); known {
			t.Errorf("%q looks like %+v", value, got)
		}
	}
}

// Every row is whole, is reached, and names a page of https.
func TestTable(t *testing.T) {
	for line := range strings.Lines(table) {
		column := strings.Split(strings.TrimSpace(line), " | ")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if len(column) != 4 {
			t.Fatalf("%d columns: %s", len(column), line)
		}
		sample := strings.NewReplacer("[a-z]", "b", "[sr]", "s", "[sbr]", "s", "[por]", "p", "[op]", "p", "[0-9a-f]", "0", "[0-9]", "7", "[.\\-]", "-", "?", "x").Replace(column[0])
		length, err := strconv.Atoi(strings.TrimSuffix(column[1], "+"))
		sample = strings.Replace(sample, "*", strings.Repeat("a", max(0, length-len(strings.ReplaceAll(sample, "*", "")))), 1)
		sample = strings.ReplaceAll(sample, "*", "")
		if matches, badPattern := path.Match(column[0], sample); err != nil || badPattern != nil || !matches {
			t.Errorf("%s: %q, %v, %v", line, sample, err, badPattern)
		}
		if got, _ := Identify(sample); got.Kind != column[2] {
			t.Errorf("%s: never reached: %q is a %s", line, sample, got.Kind)
		}
		if page, err := url.Parse(column[3]); err != nil || page.Scheme != "https" || page.Host == "" {
			t.Errorf("%s: %v", line, err)
		}
	}
}
