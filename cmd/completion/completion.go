// Package completion prints the scripts that complete fob's commands in a shell.
package completion

import (
	"bytes"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
)

// Adjust replaces the help of cobra's completion command, and its script for bash.
func Adjust(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	c, _, err := root.Find([]string{"completion", "bash"})
	if err != nil || c.Name() != "bash" {
		return
	}
	c.RunE = func(cmd *cobra.Command, _ []string) error { return Bash(root, cmd.OutOrStdout()) }
	all := usage.Group(root, "", c.Parent(), "")
	all.Short = "Complete fob's commands in your shell"
	all.Long = "Print the script that completes fob's commands, flags and names in a shell."
	all.Example = "  source <(fob completion bash)\n  fob completion zsh >\"${fpath[1]}/_fob\"\n  fob completion fish >~/.config/fish/completions/fob.fish"
	for _, shell := range all.Commands() {
		shell.Short = "Print the completion script for " + shell.Name()
		shell.Long = shell.Short + ". The first example loads it in\nthe current shell, the others in every new one."
		shell.Example = map[string]string{
			"bash":       "  source <(fob completion bash)\n  echo 'source <(fob completion bash)' >>~/.bashrc",
			"zsh":        "  source <(fob completion zsh)\n  fob completion zsh >\"${fpath[1]}/_fob\"\n  echo 'autoload -U compinit; compinit' >>~/.zshrc",
			"fish":       "  fob completion fish | source\n  fob completion fish >~/.config/fish/completions/fob.fish",
			"powershell": "  fob completion powershell | Out-String | Invoke-Expression\n  fob completion powershell >>$PROFILE",
		}[shell.Name()]
		shell.Flags().Lookup("no-descriptions").Usage = "complete without descriptions"
	}
}

// Bash writes the script for bash. cobra's requires the bash-completion package, which a
// server may lack: without it, the words are those before the cursor.
func Bash(root *cobra.Command, w io.Writer) error {
	var script bytes.Buffer
	if err := root.GenBashCompletionV2(&script, true); err != nil {
		return err
	}
	const needed = `_get_comp_words_by_ref "$@" cur prev words cword`
	_, err := io.WriteString(w, strings.Replace(script.String(), needed, `if declare -F _get_comp_words_by_ref >/dev/null; then
        `+needed+`
        return
    fi
    read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    [[ "${COMP_LINE:0:COMP_POINT}" == *[[:space:]] ]] && words+=("")
    cword=$((${#words[@]} - 1))
    cur=${words[cword]} prev=${words[cword-1]}`, 1))
	return err
}
