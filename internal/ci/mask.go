package ci

import (
	"strings"

	"github.com/fobcli/fob/internal/secret"
)

// MaskCommand is the line that makes the job's log hide a token, for either stream of
// the step: GitHub's and Azure's runners act on it wherever it appears, and do not
// show it. Other systems, GitLab among them, mask only what is configured beforehand.
func MaskCommand(getenv func(string) string, token secret.Secret) (line string, known bool) {
	switch {
	case token.IsZero():
		return "", false
	case getenv("GITHUB_ACTIONS") == "true":
		return GitHubMask(token.Reveal()), true
	case strings.EqualFold(getenv("TF_BUILD"), "true"): // Azure sets True
		return "##vso[task.setsecret]" + escapeCommand(token.Reveal(), "%AZP25"), true
	}
	return "", false
}

// GitHubMask is the workflow command by which GitHub's runner hides a text in the log.
func GitHubMask(text string) string { return "::add-mask::" + escapeCommand(text, "%25") }

// escapeCommand escapes text for a runner's command: an unescaped line break would begin a
// line of its own.
func escapeCommand(text, percent string) string {
	return strings.NewReplacer("%", percent, "\r", "%0D", "\n", "%0A").Replace(text)
}
