package leak

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
)

// ErrGit means that git did not do what was asked of it.
var ErrGit = errors.New("git failed")

// git is a command in a repository. Its configuration may be hostile: what would run a
// program is turned off.
func git(ctx context.Context, dir string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "git", append([]string{"-C", dir, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-optional-locks", "--no-replace-objects"}, args...)...)
	return c
}

// gitOutput runs a short command of git's and returns what it prints.
func gitOutput(ctx context.Context, dir string, args ...string) ([]byte, error) {
	c := git(ctx, dir, args...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return nil, gitError(err, stderr.String())
	}
	return out, nil
}

func gitError(err error, stderr string) error {
	said, _, _ := strings.Cut(strings.TrimSpace(stderr), "\n")
	return fmt.Errorf("%w: %s (%w)", ErrGit, said, err)
}

// Unignored looks through the files of a work tree that git does not ignore.
func (s *Scanner) Unignored(ctx context.Context, dir string, progress Progress) (Result, error) {
	out, err := gitOutput(ctx, dir, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return Result{}, err
	}
	return s.scanAll(ctx, progress, func(found chan<- string) error {
		for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
			if name != "" {
				if err := walk(ctx, dir+"/"+name, found); err != nil && ctx.Err() != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Staged looks through what the next commit would bring in.
func (s *Scanner) Staged(ctx context.Context, dir string) (Result, error) {
	out, err := gitOutput(ctx, dir, "diff", "--cached", "--no-ext-diff", "--no-textconv", "--name-only", "-z", "--diff-filter=ACMRT")
	if err != nil {
		return Result{}, err
	}
	var wanted []object
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if name != "" && !strings.Contains(name, "\n") {
			wanted = append(wanted, object{name: ":" + name, path: name})
		}
	}
	var result Result
	err = s.objects(ctx, dir, wanted, nil, &result)
	return result, err
}

// object is something in git's store.
type object struct{ name, path string }

// History looks through every blob, commit and tag of a repository, each once, also
// those that no branch has any more. Of a finding in a blob it tells the commit that
// brought it in.
func (s *Scanner) History(ctx context.Context, dir string, progress Progress) (Result, error) {
	var result Result
	wanted, err := s.allObjects(ctx, dir)
	if err != nil {
		return result, err
	}
	if err := s.objects(ctx, dir, wanted, progress, &result); err != nil {
		return result, err
	}
	for i := range result.Findings {
		f := &result.Findings[i]
		f.Commit, f.Path = s.origin(ctx, dir, f.Path)
	}
	return result, nil
}

// allObjects lists what is no tree.
func (s *Scanner) allObjects(ctx context.Context, dir string) ([]object, error) {
	out, err := gitOutput(ctx, dir, "cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objecttype) %(objectname)")
	if err != nil {
		return nil, err
	}
	var wanted []object
	for line := range strings.Lines(string(out)) {
		kind, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if kind != "tree" {
			wanted = append(wanted, object{name: name, path: name})
		}
	}
	return wanted, nil
}

// origin finds the first commit that a blob came in with, and the file's name there.
func (s *Scanner) origin(ctx context.Context, dir, name string) (commit, path string) {
	out, err := gitOutput(ctx, dir, "log", "--all", "--reverse", "--no-ext-diff", "--no-textconv", "--format=%H", "--raw", "-z", "--no-abbrev", "--find-object="+name)
	if err != nil || len(out) == 0 {
		return name, "" // a commit's or tag's own text, or a blob that no branch has
	}
	fields := strings.Split(string(out), "\x00")
	commit = strings.TrimSpace(fields[0])
	for i, field := range fields {
		if strings.Contains(field, ":") && strings.Contains(field, name) && i+1 < len(fields) {
			return commit, fields[i+1]
		}
	}
	return commit, ""
}

// objects looks through objects, as one git hands them over.
func (s *Scanner) objects(ctx context.Context, dir string, wanted []object, progress Progress, result *Result) error {
	if len(wanted) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := git(ctx, dir, "cat-file", "--batch", "--buffer")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	stdin, err := c.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return gitError(err, "it could not be started")
	}
	go func() {
		defer stdin.Close()
		w := bufio.NewWriter(stdin)
		for _, o := range wanted {
			if _, err := fmt.Fprintln(w, o.name); err != nil {
				return
			}
		}
		_ = w.Flush()
	}()
	readErr := s.readObjects(ctx, bufio.NewReaderSize(stdout, 1<<16), wanted, progress, result)
	if readErr != nil {
		cancel()
	}
	if err := c.Wait(); err != nil && readErr == nil {
		return gitError(err, stderr.String())
	}
	return readErr
}

// readObjects reads "NAME TYPE SIZE", the object and a line break, for each.
func (s *Scanner) readObjects(ctx context.Context, r *bufio.Reader, wanted []object, progress Progress, result *Result) error {
	var buffer []byte
	for _, o := range wanted {
		head, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("%w: it ended early: %w", ErrGit, err)
		}
		fields := strings.Fields(head)
		if len(fields) != 3 {
			result.Skipped = append(result.Skipped, o.path+": "+strings.TrimSpace(head))
			continue
		}
		size, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return fmt.Errorf("%w: an object of %q bytes", ErrGit, fields[2])
		}
		content := io.LimitReader(r, size)
		buffer, err = s.Scan(ctx, content, buffer, func(f Finding) {
			f.Path = o.path
			result.Findings = append(result.Findings, f)
		})
		if err != nil {
			return err
		}
		if _, err := r.Discard(1); err != nil {
			return fmt.Errorf("%w: it ended early: %w", ErrGit, err)
		}
		result.Files++
		result.Bytes += size
		if progress != nil {
			progress(result.Files, result.Bytes)
		}
	}
	return nil
}
