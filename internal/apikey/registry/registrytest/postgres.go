//go:build unix

package registrytest

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// Postgres is a private PostgreSQL server of this machine: no network, data of its
// own, gone after Stop.
type Postgres struct {
	dir       string
	bin       string
	server    *exec.Cmd
	databases atomic.Int64
}

// StartPostgres makes a database cluster in a new folder and starts its server.
// PostgreSQL refuses to run as root: then it runs as the user postgres.
func StartPostgres() (*Postgres, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "fob-postgres-")
	if err != nil {
		return nil, err
	}
	p := &Postgres{dir: dir, bin: bin}
	uid, gid := p.user()
	if err := os.Chown(dir, uid, gid); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	init := p.command(ctx, "initdb", "-D", dir+"/data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
	if out, err := init.CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return p, p.Start()
}

func postgresBin() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if path, err := exec.LookPath("initdb"); err == nil {
		found = append(found, path)
	}
	if len(found) == 0 {
		return "", fmt.Errorf("PostgreSQL is not installed: %w", exec.ErrNotFound)
	}
	return filepath.Dir(found[0]), nil
}

// Start starts the server and waits until it answers.
func (p *Postgres) Start() error {
	var stderr bytes.Buffer
	p.server = p.command(context.Background(), "postgres", "-D", p.dir+"/data", "-k", p.dir, "-c", "listen_addresses=", "-c", "max_connections=300")
	p.server.Stderr = &stderr
	if err := p.server.Start(); err != nil {
		return err
	}
	db, err := sql.Open("pgx", p.url("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	for end := time.Now().Add(30 * time.Second); ; {
		err := db.Ping()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			p.Stop()
			return fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, stderr.String())
		}
		<-time.After(20 * time.Millisecond)
	}
}

// Kill ends the server as a crash does.
func (p *Postgres) Kill() { p.end(syscall.SIGQUIT) }

// Freeze stops the server and all its processes where they are: it answers nothing and
// closes nothing.
func (p *Postgres) Freeze() error { return p.signalAll(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (p *Postgres) Thaw() error { return p.signalAll(syscall.SIGCONT) }

// signalAll signals the server and then its children, each of which leads a session.
func (p *Postgres) signalAll(signal syscall.Signal) error {
	pid := p.server.Process.Pid
	if err := syscall.Kill(pid, signal); err != nil {
		return err
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return err
	}
	for child := range strings.FieldsSeq(string(children)) {
		if pid, err := strconv.Atoi(child); err == nil {
			_ = syscall.Kill(pid, signal) // it may have ended
		}
	}
	return nil
}

// Stop ends the server and deletes its data.
func (p *Postgres) Stop() {
	p.end(syscall.SIGQUIT)
	os.RemoveAll(p.dir)
}

func (p *Postgres) end(signal os.Signal) {
	if p.server.ProcessState == nil {
		_ = p.Thaw()
		_ = p.server.Process.Signal(signal)
		_ = p.server.Wait()
	}
}

// NewDatabase makes an empty database and returns its URL.
func (p *Postgres) NewDatabase() (string, error) {
	name := fmt.Sprintf("fob%d", p.databases.Add(1))
	db, err := sql.Open("pgx", p.url("postgres"))
	if err != nil {
		return "", err
	}
	defer db.Close()
	_, err = db.Exec("CREATE DATABASE " + name)
	return p.url(name), err
}

func (p *Postgres) url(database string) string {
	query := url.Values{"host": {p.dir}, "user": {"postgres"}}
	return "postgres:///" + database + "?" + query.Encode()
}

func (p *Postgres) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, filepath.Join(p.bin, program), args...)
	c.Dir = p.dir
	c.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	if os.Getuid() == 0 {
		uid, gid := p.user()
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	return c
}

func (p *Postgres) user() (uid, gid int) {
	if os.Getuid() != 0 {
		return os.Getuid(), os.Getgid()
	}
	passwd, _ := os.ReadFile("/etc/passwd")
	for line := range strings.Lines(string(passwd)) {
		if rest, ok := strings.CutPrefix(line, "postgres:x:"); ok {
			_, _ = fmt.Sscanf(rest, "%d:%d:", &uid, &gid)
		}
	}
	return uid, gid
}
