package leakscan

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/fobcli/fob/internal/leakscan/gitpack"
	"github.com/fobcli/fob/internal/process"
)

// ErrGit means that git did not do what was asked of it.
var ErrGit = errors.New("git failed")

// ErrNoRepository is said of a folder.
var ErrNoRepository = errors.New("is in no git repository")

// git is a command in a repository: that of a folder, or for "" that which the working
// folder and the variables of a hook mean. Its configuration may be hostile: what would
// run a program, also by fetching what a partial clone lacks, is turned off.
func git(ctx context.Context, dir string, args ...string) *process.Cmd {
	fixed := []string{"-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "log.showSignature=false", "--no-optional-locks", "--no-replace-objects", "--no-pager"}
	environ := append(os.Environ(), "LC_ALL=C", "GIT_ALLOW_PROTOCOL=none", "GIT_NO_LAZY_FETCH=1", "GIT_TERMINAL_PROMPT=0")
	if dir != "" {
		fixed = append(fixed, "-C", dir)
		environ = slices.DeleteFunc(environ, meansRepository)
	}
	c := process.Command(ctx, "git", append(fixed, args...)...)
	c.Env = environ
	return c
}

// meansRepository knows the variables by which a hook's git finds its own repository.
func meansRepository(entry string) bool {
	name, _, _ := strings.Cut(entry, "=")
	switch name {
	case "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
		"GIT_NAMESPACE", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_QUARANTINE_PATH":
		return true
	}
	return false
}

// gitOutput runs a short command of git's and returns what it prints.
func gitOutput(ctx context.Context, dir string, args ...string) ([]byte, error) {
	c := git(ctx, dir, args...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		return nil, gitError(err, stderr.String())
	}
	return stdout.Bytes(), nil
}

func gitError(err error, stderr string) error {
	if strings.Contains(stderr, "fatal: not a git repository") {
		return ErrNoRepository
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
				if err := walk(ctx, cmp.Or(dir, ".")+"/"+name, found); err != nil && ctx.Err() != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Staged looks through what the next commit would bring in.
func (s *Scanner) Staged(ctx context.Context, dir string) (Result, error) {
	var result Result
	out, err := gitOutput(ctx, dir, "diff", "--cached", "--no-renames", "--ignore-submodules", "--no-ext-diff", "--no-textconv", "--raw", "-z", "--no-abbrev", "--diff-filter=ACMRT")
	if err != nil {
		// Outside a repository 'git diff' takes other options, and complains of those.
		if _, outside := gitOutput(ctx, dir, "rev-parse", "--git-dir"); outside != nil {
			return result, outside
		}
		return result, err
	}
	var names, paths []string
	readChanges(string(out), func(_, name, path string) {
		names, paths = append(names, name), append(paths, path)
	})
	if len(names) == 0 {
		return result, nil
	}
	b := &batch{scanner: s, result: &result, path: func(i int, _ string) string { return paths[i] }}
	given := make(chan []string, 1)
	given <- names
	close(given)
	return result, b.run(ctx, dir, given)
}

// History looks through every blob, commit and tag of a repository, each once, also
// those that no branch has any more. Of a finding in a blob it tells the commit that
// brought it in.
func (s *Scanner) History(ctx context.Context, dir string, progress Progress) (Result, error) {
	result, left, err := s.packed(ctx, dir, progress)
	switch {
	case ctx.Err() != nil:
		return result, ctx.Err()
	case errors.Is(err, ErrNoFile): // git would wait for a pipe, too
		return result, fmt.Errorf("%w: %w", ErrGit, err)
	}
	list := func(ctx context.Context, names chan<- []string) error { return sendNames(ctx, left, names) }
	if err != nil { // git reads it, or says what is wrong
		result = Result{}
		list = func(ctx context.Context, names chan<- []string) error { return listObjects(ctx, dir, names) }
	}
	if err != nil || len(left) > 0 {
		if err := s.batches(ctx, dir, list, &result, progress); err != nil {
			return result, err
		}
	}
	return result, findOrigins(ctx, dir, result.Findings)
}

// packed scans the packs without git, and returns the names of the other objects.
func (s *Scanner) packed(ctx context.Context, dir string, progress Progress) (result Result, left []string, err error) {
	objects, err := objectsFolder(ctx, dir)
	if err != nil {
		return result, nil, err
	}
	packs, err := gitpack.Open(objects, openRegular)
	if err != nil {
		return result, nil, err
	}
	defer packs.Close()
	loose, err := packs.Loose(objects)
	if err != nil {
		return result, nil, err
	}
	b := &batch{scanner: s, mu: new(sync.Mutex), result: &result, progress: progress}
	large, err := packs.Walk(ctx, b.object)
	return result, append(large, loose...), err
}

// objectsFolder returns the folder of a repository's objects, if it has only one and
// their names are SHA-1.
func objectsFolder(ctx context.Context, dir string) (string, error) {
	if os.Getenv("GIT_ALTERNATE_OBJECT_DIRECTORIES") != "" {
		return "", gitpack.ErrUnsupported
	}
	out, err := gitOutput(ctx, dir, "rev-parse", "--show-object-format", "--git-path", "objects")
	if err != nil {
		return "", err
	}
	format, folder, _ := strings.Cut(strings.TrimSuffix(string(out), "\n"), "\n")
	if format != "sha1" {
		return "", gitpack.ErrUnsupported
	}
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(dir, folder)
	}
	return folder, nil
}

// object scans an object that is in memory.
func (b *batch) object(o gitpack.Object, text []byte) {
	var found []Finding
	for _, m := range b.scanner.find(text, true) {
		line, column := advance(text[:m.start], 1, 1)
		f := m.finding(text, line, column)
		f.Path = o.Name()
		found = append(found, f)
	}
	b.addScanned(int64(len(text)), found)
}

// batches looks through the objects that are listed, as gits side by side unpack them.
func (s *Scanner) batches(ctx context.Context, dir string, list func(context.Context, chan<- []string) error, result *Result, progress Progress) error {
	names := make(chan []string)
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(names)
		return list(ctx, names)
	})
	for range min(maxBatches, runtime.GOMAXPROCS(0)) {
		b := &batch{scanner: s, mu: &mu, result: result, progress: progress, path: func(_ int, name string) string { return name }}
		group.Go(func() error { return b.run(ctx, dir, names) })
	}
	return group.Wait()
}

const (
	// maxBatches is how many gits unpack objects side by side.
	maxBatches = 4
	// batchSize is how many objects one git process is asked for at once: a delta and its base
	// are near each other.
	batchSize = 512
)

// listObjects sends the names of what is no tree, as they lie in the packs.
func listObjects(ctx context.Context, dir string, names chan<- []string) error {
	c := git(ctx, dir, "cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objecttype) %(objectname)")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	stdout, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return gitError(err, "it could not be started")
	}
	var some []string
	send := func() {
		select {
		case names <- some:
		case <-ctx.Done():
		}
		some = nil
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if kind, name, _ := strings.Cut(lines.Text(), " "); kind != "tree" {
			if some = append(some, name); len(some) == batchSize {
				send()
			}
		}
	}
	send()
	if err := c.Wait(); err != nil {
		return gitError(err, stderr.String())
	}
	return nil
}

// sendNames sends names in batches.
func sendNames(ctx context.Context, all []string, names chan<- []string) error {
	for some := range slices.Chunk(all, batchSize) {
		select {
		case names <- some:
		case <-ctx.Done():
		}
	}
	return nil
}

// findOrigins puts the first commit that a blob came in with, and the file's name there,
// in the place of the blob's name. Commits and tags themselves keep theirs.
func findOrigins(ctx context.Context, dir string, findings []Finding) error {
	places := make(map[string]origin)
	for _, f := range findings {
		places[f.Path] = origin{commit: f.Path}
	}
	const atOnce = 500 // arguments are bounded
	for some := range slices.Chunk(slices.Sorted(maps.Keys(places)), atOnce) {
		args := []string{"log", "--all", "--reverse", "-m", "--no-renames", "--no-ext-diff", "--no-textconv", "--format=%H", "--raw", "-z", "--no-abbrev"}
		for _, name := range some {
			args = append(args, "--find-object="+name)
		}
		out, err := gitOutput(ctx, dir, args...)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil { // else the log is damaged, and the blob's name is what there is
			readChanges(string(out), func(commit, name, path string) {
				if known, wanted := places[name]; wanted && known.path == "" {
					places[name] = origin{commit, path}
				}
			})
		}
	}
	for i := range findings {
		f := &findings[i]
		f.Commit, f.Path = places[f.Path].commit, places[f.Path].path
	}
	return nil
}

// origin is where a blob was added.
type origin struct{ commit, path string }

// readChanges reads commits and, of each, ":MODE MODE NAME NAME STATUS" and a path for
// every file that it changed. Paths may hold anything but NUL.
func readChanges(log string, changed func(commit, name, path string)) {
	commit := ""
	for log != "" {
		var field, path string
		field, log, _ = strings.Cut(log, "\x00")
		field = strings.TrimLeft(field, "\n")
		if !strings.HasPrefix(field, ":") {
			commit = field
			continue
		}
		path, log, _ = strings.Cut(log, "\x00")
		if words := strings.Fields(field); len(words) == 5 && words[1] != submodule {
			changed(commit, words[3], path)
		}
	}
}

// submodule is the mode of a commit of another repository.
const submodule = "160000"

// batch looks through objects, as one git hands them over.
type batch struct {
	scanner  *Scanner
	mu       *sync.Mutex // of what follows, where several share it
	result   *Result
	progress Progress
	path     func(i int, name string) string // of an object, for its findings
}

func (b *batch) run(ctx context.Context, dir string, names <-chan []string) error {
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
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		defer stdin.Close()
		for some := range names {
			if _, err := io.WriteString(stdin, strings.Join(some, "\n")+"\n"); err != nil {
				return
			}
		}
	}()
	growPipe(stdout)
	readErr := b.read(ctx, bufio.NewReaderSize(stdout, 1<<16))
	if readErr != nil {
		cancel()
	}
	err = c.Wait()
	if readErr == nil && err != nil {
		readErr = gitError(err, stderr.String())
	}
	if readErr == nil {
		<-asked
	}
	return readErr
}

// read reads "NAME TYPE SIZE", the object and a line break, for each.
func (b *batch) read(ctx context.Context, r *bufio.Reader) error {
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
			b.update(func(result *Result) { result.Skipped = append(result.Skipped, strings.TrimSpace(head)) })
			continue
		}
		size, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return fmt.Errorf("%w: an object of %q bytes", ErrGit, fields[2])
		}
		if fields[1] == "tree" { // listed as a file of its own
			if _, err := io.CopyN(io.Discard, r, size+1); err != nil {
				return fmt.Errorf("%w: it ended early: %w", ErrGit, err)
			}
			continue
		}
		var found []Finding
		buffer, err = b.scanner.Scan(ctx, io.LimitReader(r, size), buffer, func(f Finding) {
			f.Path = b.path(i, fields[0])
			found = append(found, f)
		})
		if err != nil {
			return err
		}
		if _, err := r.Discard(1); err != nil {
			return fmt.Errorf("%w: it ended early: %w", ErrGit, err)
		}
		b.addScanned(size, found)
	}
}

// addScanned adds a scanned object and its findings to the result.
func (b *batch) addScanned(size int64, found []Finding) {
	b.update(func(result *Result) {
		result.Findings = append(result.Findings, found...)
		result.Files++
		result.Bytes += size
	})
}

// update changes the result and reports the progress.
func (b *batch) update(change func(*Result)) {
	if b.mu != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
	}
	change(b.result)
	if b.progress != nil {
		b.progress(b.result.Files, b.result.Bytes)
	}
}
