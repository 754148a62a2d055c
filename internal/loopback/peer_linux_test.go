package loopback

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain makes the test binary a client too: it connects and waits for its end, as
// another user.
func TestMain(m *testing.M) {
	if address := os.Getenv("LOOPBACK_TEST_DIAL"); address != "" {
		os.Exit(dialAndWait(os.Getenv("LOOPBACK_TEST_NETWORK"), address))
	}
	os.Exit(m.Run())
}

func dialAndWait(network, address string) int {
	conn, err := net.Dial(network, address) //nolint:noctx // a client of a few lines
	if err != nil {
		fmt.Println(err)
		return 1
	}
	_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", os.Getenv("LOOPBACK_TEST_PATH"), address)
	line, _ := bufio.NewReader(conn).ReadString('\n')
	fmt.Println(strings.TrimSpace(line))
	return 0
}

// clientOf runs the client as a user, and returns what it was answered.
func clientOf(t *testing.T, uid uint32, network, address, path string) string {
	t.Helper()
	// Another user cannot enter the folder of the test binary, but runs what is open.
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	client := exec.CommandContext(t.Context(), "/proc/self/fd/3")
	client.ExtraFiles = []*os.File{self}
	client.Dir = "/"
	client.Env = []string{"LOOPBACK_TEST_DIAL=" + address, "LOOPBACK_TEST_NETWORK=" + network, "LOOPBACK_TEST_PATH=" + path}
	client.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := client.CombinedOutput()
	if err != nil {
		t.Fatalf("the client of uid %d: %v\n%s", uid, err, out)
	}
	return strings.TrimSpace(string(out))
}

const otherUser = 4711

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("in CI these tests run as root")
		}
		t.Skip("only root can be another user")
	}
}

// Another user who knows the start page's URL, and is faster than any browser.
func TestI69_AnotherUserOpensTheStartPage(t *testing.T) {
	needRoot(t)
	for _, uri := range []string{defaultRedirect, "http://[::1]/callback", "http://localhost/callback"} {
		if uri != defaultRedirect && !hasIPv6(t) {
			continue
		}
		l, err := Listen(uri)
		if err != nil {
			t.Fatal(err)
		}
		notes := make(chan string, 10)
		login := Login{Shown: newRequest(l.RedirectURI()), Launched: newRequest(l.RedirectURI()), Warn: func(text string) { notes <- text }, Finish: succeed}
		done := make(chan error, 1)
		go func() { done <- l.Serve(t.Context(), login) }()
		callback := "/callback?" + goodCallback(login.Launched).Encode()
		for _, path := range []string{l.startPath(), callback} {
			if got := clientOf(t, otherUser, "tcp", l.redirect.Host, path); !strings.Contains(got, "403") {
				t.Errorf("%s: another user gets %q of %.20s", uri, got, path)
			}
		}
		if note := <-notes; !strings.Contains(note, "uid 4711") || len(notes) != 0 {
			t.Errorf("the user was told %q, and %d more", note, len(notes))
		}
		if got := clientOf(t, 0, "tcp", l.redirect.Host, l.startPath()); !strings.Contains(got, "302") {
			t.Errorf("%s: the user's own browser gets %q", uri, got)
		}
		browser := newVisitor(t)
		browser.visit(http.MethodGet, l.RedirectURI()+"?"+goodCallback(login.Shown).Encode())
		if err := <-done; err != nil {
			t.Errorf("%s: the login ended with %v", uri, err)
		}
	}
}

// mappedDial connects to an IPv4 address by a socket of both families, as some runtimes do.
func mappedDial(t *testing.T, to netip.AddrPort) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Connect(fd, &syscall.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	from := name.(*syscall.SockaddrInet6)
	return netip.AddrPortFrom(netip.AddrFrom16(from.Addr).Unmap(), uint16(from.Port))
}

func TestI69_OwnerOfAConnection(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	to := netip.MustParseAddrPort(listener.Addr().String())
	conn := dial(t, to.String())
	from := netip.MustParseAddrPort(conn.LocalAddr().String())
	if uid, found := ownerOf(from, to); !found || uid != os.Geteuid() {
		t.Errorf("IPv4: %d, %v", uid, found)
	}
	if uid, found := ownerOf(mappedDial(t, to), to); !found || uid != os.Geteuid() {
		t.Errorf("IPv4 by a socket of both families: %d, %v", uid, found)
	}
	if uid, found := ownerOf(netip.MustParseAddrPort("127.0.0.1:1"), to); found {
		t.Errorf("a connection that is not there belongs to %d", uid)
	}
	if uid, found := ownerOf(to, from); found && uid != os.Geteuid() {
		t.Errorf("the listener's end: %d", uid)
	}
	// What was closed is listed as root's, whoever it belonged to.
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		if _, found := ownerOf(from, to); !found {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a connection that was closed has an owner")
		}
	}
}

func TestI69_JudgeOwner(t *testing.T) {
	linux, wsl := func() bool { return false }, func() bool { return true }
	for _, test := range []struct {
		name  string
		uid   int
		found bool
		own   int
		inWSL func() bool
		good  bool
	}{
		{"own", 1000, true, 1000, linux, true},
		{"root's own", 0, true, 0, linux, true},
		{"another user", 1001, true, 1000, linux, false},
		{"root", 0, true, 1000, linux, false},
		{"another user, at root's login", 1000, true, 0, linux, false},
		{"unknown", 0, false, 1000, linux, false},
		{"unknown, at root's login", 0, false, 0, linux, false},
		{"WSL: own", 1000, true, 1000, wsl, true},
		{"WSL: another user", 1001, true, 1000, wsl, false},
		{"WSL: the relay", 0, true, 1000, wsl, true},
		{"WSL: mirrored network", 0, false, 1000, wsl, true},
	} {
		if err := judgeOwner(test.uid, test.found, test.own, test.inWSL); (err == nil) != test.good {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
