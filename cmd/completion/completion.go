// Package completion writes the scripts that complete fob's commands in a shell.
package completion

import (
	"bytes"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
)

// Adjust gives cobra's completion command fob's help, and its own script for bash.
func Adjust(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	c, _, err := root.Find([]string{"completion", "bash"})
	if err != nil || c.Name() != "bash" {
		return
	}
	c.RunE = func(cmd *cobra.Command, _ []string) error { return Bash(root, cmd.OutOrStdout()) }
	c.Parent().Short, c.Parent().Args, c.Parent().RunE = "Complete fob's commands in your shell", usage.NoSuchCommand, usage.ShowHelp
	c.Parent().Example = "  source <(fob completion bash)\n  fob completion zsh >\"${fpath[1]}/_fob\"\n  fob completion fish >~/.config/fish/completions/fob.fish"
}

// Bash writes the script for bash. cobra's needs the bash-completion package, which
// a server may not have: without it the words are those before the cursor.
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
