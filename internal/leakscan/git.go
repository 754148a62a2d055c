package leakscan

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/fobcli/fob/internal/leakscan/gitpack"
	"github.com/fobcli/fob/internal/process"
	"github.com/fobcli/fob/internal/sanitize"
)

// ErrGit means that git did not do what was asked of it.
var ErrGit = errors.New("git failed")

// ErrNoRepository means that a folder is not in a git repository.
var ErrNoRepository = errors.New("is not in a git repository")

// git is a command in a repository: that of a folder, or for "" that which the working
// folder and the variables of a hook mean. Its configuration may be hostile: what would
// run a program, also by fetching what a partial clone lacks, is turned off.
func git(ctx context.Context, dir string, args ...string) *process.Cmd {
	fixed := []string{"-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "log.showSignature=false", "--no-optional-locks", "--no-replace-objects", "--no-pager"}
	environ := append(os.Environ(), "LC_ALL=C", "GIT_ALLOW_PROTOCOL=none", "GIT_NO_LAZY_FETCH=1", "GIT_TERMINAL_PROMPT=0")
	if dir != "" {
		fixed = append(fixed, "-C", dir)
		environ = slices.DeleteFunc(environ, func(entry string) bool { // git sets these for a hook, to the hook's own repository
			name, _, _ := strings.Cut(entry, "=")
			return slices.Contains([]string{
				"GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
				"GIT_NAMESPACE", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_QUARANTINE_PATH",
			}, name)
		})
	}
	c := process.Command(ctx, "git", append(fixed, args...)...)
	c.Env = environ
	return c
}

func gitOutput(ctx context.Context, dir string, args ...string) (out []byte, err error) {
	err = gitPipe(ctx, dir, "", func(r *bufio.Reader) error {
		out, _ = io.ReadAll(r) // git's exit status shows whether that is all
		return nil
	}, args...)
	return out, err
}

// gitLines calls do with each part of the output of git that ends with a character.
func gitLines(ctx context.Context, dir string, end byte, do func(line string), args ...string) error {
	return gitPipe(ctx, dir, "", func(r *bufio.Reader) error {
		for {
			line, err := r.ReadString(end)
			if err != nil {
				return nil //nolint:nilerr // git's exit status shows whether that is all
			}
			do(line[:len(line)-1])
		}
	}, args...)
}

// gitPipe calls read with the output of git, which it must read to the end. If read fails, git
// is killed.
func gitPipe(ctx context.Context, dir, input string, read func(*bufio.Reader) error, args ...string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := git(ctx, dir, args...)
	var stderr bytes.Buffer
	c.Stdin, c.Stderr = strings.NewReader(input), &stderr
	stdout, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return gitError(dir, err, "it could not be started")
	}
	if err := read(bufio.NewReaderSize(stdout, 1<<16)); err != nil {
		cancel()
		_ = c.Wait()
		return err
	}
	if err := c.Wait(); err != nil {
		return gitError(dir, err, stderr.String())
	}
	return nil
}

func gitError(dir string, err error, stderr string) error {
	if strings.Contains(stderr, "fatal: not a git repository") {
		return fmt.Errorf("%s %w", cmp.Or(sanitize.Line(dir), "this folder"), ErrNoRepository)
	}
	said, _, _ := strings.Cut(strings.TrimSpace(stderr), "\n")
	return fmt.Errorf("%w: %s (%w)", ErrGit, said, err)
}

// Unignored looks through the files of a work tree that git does not ignore.
func (s *Scanner) Unignored(ctx context.Context, dir string, progress Progress) (Result, error) {
	out, err := gitOutput(ctx, dir, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return Result{}, err
	}
	return s.scanAll(ctx, progress, func(found chan<- candidate) error {
		for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
			if name != "" {
				if err := walk(ctx, filepath.Join(dir, name), found); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Staged scans what the next commit adds.
func (s *Scanner) Staged(ctx context.Context, dir string) (Result, error) {
	var c collector
	var names, paths []string
	err := gitLines(ctx, dir, 0, eachChange(func(_ string, changed change) {
		if changed.mode == submodule {
			c.result.Submodules = append(c.result.Submodules, changed.path)
			return
		}
		names, paths = append(names, changed.name), append(paths, changed.path)
	}), "diff", "--cached", "--no-renames", "--ignore-submodules=dirty", "--no-ext-diff", "--no-textconv", "--raw", "-z", "--no-abbrev", "--diff-filter=ACMRT")
	if err != nil {
		// Outside a repository, 'git diff' takes other options and reports these.
		if _, outside := gitOutput(ctx, dir, "rev-parse", "--git-dir"); outside != nil {
			return Result{}, outside
		}
		return Result{}, err
	}
	if len(names) == 0 {
		return c.result, nil
	}
	err = s.scanObjects(ctx, dir, names, &c, func(i int, _, _ string) (Kind, string) { return File, paths[i] })
	if err == nil {
		err = keepAdded(ctx, dir, &c.result)
	}
	return c.result, err
}

// keepAdded removes the findings in lines that the next commit does not add.
func keepAdded(ctx context.Context, dir string, r *Result) (err error) {
	added := make(map[string]map[int]bool)
	for _, f := range r.Findings {
		if added[f.Path] == nil && err == nil {
			added[f.Path], err = addedLines(ctx, dir, f.Path)
		}
	}
	r.Findings = slices.DeleteFunc(r.Findings, func(f Finding) bool {
		isAdded := f.content || err != nil
		for line := f.Line; line <= f.Line+f.more; line++ {
			isAdded = isAdded || added[f.Path][line]
		}
		return !isAdded
	})
	return err
}

func addedLines(ctx context.Context, dir, path string) (map[int]bool, error) {
	lines := make(map[int]bool)
	err := gitLines(ctx, dir, '\n', func(line string) {
		var first, count int
		if _, hunk, found := strings.Cut(line, " +"); found && strings.HasPrefix(line, "@@ -") {
			if n, _ := fmt.Sscanf(hunk, "%d,%d ", &first, &count); n == 1 {
				count = 1
			}
			for i := range count {
				lines[first+i] = true
			}
		}
	}, "diff", "--cached", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--text", "-U0", "--inter-hunk-context=0", "--", ":(top,literal)"+path)
	return lines, err
}

// Top returns the top folder of a work tree, or without one the folder itself.
func Top(ctx context.Context, dir string) string {
	out, err := gitOutput(ctx, dir, "rev-parse", "--show-toplevel")
	if err != nil {
		return dir
	}
	return strings.TrimSuffix(string(out), "\n")
}

// History scans every blob, commit and tag of a repository once, also those that no branch
// contains any more. A finding in a blob names the commit that added it.
func (s *Scanner) History(ctx context.Context, dir string, progress Progress) (Result, error) {
	c := &collector{progress: progress}
	objects, err := objectsFolder(ctx, dir)
	if err != nil {
		return c.result, err
	}
	rest, err := s.scanPacks(ctx, dir, objects, c)
	switch {
	case ctx.Err() != nil:
		return c.result, ctx.Err()
	case err != nil: // git reads all of it, or reports what is wrong
		c.result = Result{}
		rest, err = listObjects(ctx, dir)
	}
	if err == nil {
		err = s.scanNamed(ctx, dir, rest, c)
	}
	if err == nil {
		err = findOrigins(ctx, dir, &c.result)
	}
	if err == nil {
		c.result.Unread = append(c.result.Unread, missingObjects(ctx, dir)...)
		err = ctx.Err()
	}
	_ = gitLines(ctx, dir, 0, func(line string) { // without a commit there is none
		if head, path, _ := strings.Cut(line, "\t"); strings.HasPrefix(head, submodule) {
			c.result.Submodules = append(c.result.Submodules, path)
		}
	}, "ls-tree", "-r", "-z", "--full-tree", "HEAD")
	return c.result, err
}

// missingObjects returns that a repository is a shallow or partial clone, if it lacks objects.
func missingObjects(ctx context.Context, dir string) (all []Unread) {
	name := cmp.Or(dir, ".")
	if out, _ := gitOutput(ctx, dir, "rev-parse", "--is-shallow-repository"); string(out) == "true\n" {
		all = append(all, Unread{name, errors.New("a shallow clone: older commits are missing")})
	}
	if out, _ := gitOutput(ctx, dir, "config", "--get-regexp", `^(remote\..*\.promisor|extensions\.partialclone)$`); len(out) == 0 {
		return all
	}
	missing := 0
	err := gitLines(ctx, dir, '\n', func(line string) {
		if strings.HasPrefix(line, "?") {
			missing++
		}
	}, "rev-list", "--objects", "--all", "--no-object-names", "--missing=print")
	if err != nil || missing > 0 {
		all = append(all, Unread{name, fmt.Errorf("a partial clone: %d objects are missing", missing)})
	}
	return all
}

// scanPacks scans the packs without git, and returns the names of the other objects.
func (s *Scanner) scanPacks(ctx context.Context, dir, objects string, c *collector) (rest []string, err error) {
	format, err := gitOutput(ctx, dir, "rev-parse", "--show-object-format")
	if err != nil {
		return nil, err
	}
	if string(format) != "sha1\n" || os.Getenv("GIT_ALTERNATE_OBJECT_DIRECTORIES") != "" {
		return nil, gitpack.ErrUnsupported
	}
	packs, err := gitpack.Open(objects, openRegular)
	if err != nil {
		return nil, err
	}
	defer packs.Close()
	loose, err := packs.Loose(objects)
	if err != nil {
		return nil, err
	}
	large, err := packs.Walk(ctx, func(objectType, name string, text []byte) {
		r := Result{Files: 1, Bytes: int64(len(text))}
		kind := kindOf(objectType)
		s.scanText(text, len(text), place{line: 1, column: 1}, r.collect(kind, name))
		s.scanContent(ctx, c, dir, text, kind, name)
		c.add(r)
	})
	return append(large, loose...), err
}

// findOrigins replaces the names of blobs by the first commit that has them and the file's
// path there. Commits and tags keep their own names.
func findOrigins(ctx context.Context, dir string, r *Result) error {
	origins := make(map[string]origin)
	for _, f := range r.Findings {
		origins[f.Path] = origin{commit: f.Path}
	}
	for _, u := range r.Unread {
		origins[u.Path] = origin{}
	}
	if len(origins) == 0 {
		return nil
	}
	args := []string{"log", "--all", "--reverse", "-m", "--no-renames", "--no-ext-diff", "--no-textconv", "--format=%H", "--raw", "-z", "--no-abbrev"}
	const most = 500 // arguments are bounded; of more, the whole log is read
	if len(origins) <= most {
		for _, name := range slices.Sorted(maps.Keys(origins)) {
			args = append(args, "--find-object="+name)
		}
	}
	_ = gitLines(ctx, dir, 0, eachChange(func(commit string, changed change) { // in a damaged log, the blob's name is what there is
		if known, wanted := origins[changed.name]; wanted && known.path == "" {
			origins[changed.name] = origin{commit, changed.path}
		}
	}), args...)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		f.Commit, f.Path = origins[f.Path].commit, origins[f.Path].path
		if f.Kind == Blob && f.Path != "" {
			f.Kind = File
		}
	}
	for i := range r.Unread {
		u := &r.Unread[i]
		u.Path = cmp.Or(origins[u.Path].path, u.Path)
	}
	return nil
}

func kindOf(objectType string) Kind {
	return cmp.Or(map[string]Kind{"commit": CommitMessage, "tag": TagMessage}[objectType], Blob)
}

type origin struct{ commit, path string }

// change is what a commit has in the place of a file.
type change struct{ mode, name, path string }

// eachChange returns a function that reads commits and, of each, ":MODE MODE NAME NAME STATUS"
// and a path for every file that it changed. Paths may hold anything but NUL.
func eachChange(changed func(commit string, c change)) func(field string) {
	commit, head := "", ""
	return func(field string) {
		if words := strings.Fields(head); len(words) == 5 { // the path is next
			changed(commit, change{words[1], words[3], field})
			head = ""
			return
		}
		if head = strings.TrimLeft(field, "\n"); !strings.HasPrefix(head, ":") {
			commit, head = head, ""
		}
	}
}

// submodule is the mode of a commit of another repository.
const submodule = "160000"

// maxReaders is how many git processes unpack objects side by side.
const maxReaders = 4

// scanNamed scans objects. The findings have their names as paths.
func (s *Scanner) scanNamed(ctx context.Context, dir string, names []string, c *collector) error {
	group, ctx := errgroup.WithContext(ctx)
	readers := min(maxReaders, runtime.GOMAXPROCS(0))
	for part := range slices.Chunk(names, 1+len(names)/readers) { // a delta and its base are near each other
		group.Go(func() error {
			return s.scanObjects(ctx, dir, part, c, func(_ int, objectType, name string) (Kind, string) { return kindOf(objectType), name })
		})
	}
	return group.Wait()
}

// gitPath returns the path that 'git rev-parse' prints, which may be relative to dir.
func gitPath(ctx context.Context, dir string, args ...string) (string, error) {
	out, err := gitOutput(ctx, dir, append([]string{"rev-parse"}, args...)...)
	path := strings.TrimSuffix(string(out), "\n")
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return path, err
}

// objectsFolder returns the folder of a repository's objects. It rejects pipes and devices in
// place of objects: git would wait for them.
func objectsFolder(ctx context.Context, dir string) (string, error) {
	objects, err := gitPath(ctx, dir, "--git-path", "objects")
	if err != nil {
		return "", err
	}
	return objects, filepath.WalkDir(objects, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Type().IsRegular() {
			return err
		}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() && !info.IsDir() {
			return fmt.Errorf("%w: %s: %w", ErrGit, path, ErrNoFile)
		}
		return nil
	})
}

// listObjects returns the names of all objects but trees, in the order of the packs.
func listObjects(ctx context.Context, dir string) (names []string, err error) {
	err = gitLines(ctx, dir, '\n', func(line string) {
		if kind, name, _ := strings.Cut(line, " "); kind != "tree" {
			names = append(names, name)
		}
	}, "cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objecttype) %(objectname)")
	return names, err
}

// scanObjects scans the objects of some names with one git process. place returns the kind
// and the path of the findings in the i-th object.
func (s *Scanner) scanObjects(ctx context.Context, dir string, names []string, c *collector, place placeFunc) error {
	return gitPipe(ctx, dir, strings.Join(names, "\n")+"\n", func(r *bufio.Reader) error {
		return s.readObjects(ctx, r, dir, c, place)
	}, "cat-file", "--batch", "--buffer")
}

type placeFunc func(i int, objectType, name string) (Kind, string)

// readObjects reads "NAME TYPE SIZE", the object and a line break, for each.
func (s *Scanner) readObjects(ctx context.Context, r *bufio.Reader, dir string, c *collector, place placeFunc) error {
	var buffer []byte
	for i := 0; ; i++ {
		head, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) && head == "" {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("%w: it ended early: %w", ErrGit, err)
		}
		fields := strings.Fields(head)
		if len(fields) != 3 {
			name, _, _ := strings.Cut(head, " ")
			_, path := place(i, "", name)
			c.add(Result{Unread: []Unread{{path, errors.New("the object is missing")}}})
			continue
		}
		size, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return fmt.Errorf("%w: an object of %q bytes", ErrGit, fields[2])
		}
		if fields[1] == "tree" { // a loose one
			if _, err := io.CopyN(io.Discard, r, size+1); err != nil {
				return fmt.Errorf("%w: it ended early: %w", ErrGit, err)
			}
			continue
		}
		kind, path := place(i, fields[1], fields[0])
		found := Result{Files: 1, Bytes: size}
		buffer, err = s.Scan(ctx, io.LimitReader(r, size), buffer, found.collect(kind, path))
		if err != nil {
			return err
		}
		if _, err := r.Discard(1); err != nil {
			return fmt.Errorf("%w: it ended early: %w", ErrGit, err)
		}
		if size < maxPointer {
			s.scanContent(ctx, c, dir, buffer[:size], kind, path)
		}
		c.add(found)
	}
}
