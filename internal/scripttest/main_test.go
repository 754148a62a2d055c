//go:build unix

package scripttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/authservertest"
)

// The scripts in testdata/script run the real program. Beside testscript's own
// commands they have:
//
//	exits N CMD…            run a command that must exit with status N
//	issuer [OPTION…]        replace the test issuer by one with other options
//	arm FAULT [TIMES]       make the issuer misbehave
//	count ENDPOINT N        fail unless the endpoint has seen N requests
//	notokens DIR            fail if a token that the issuer gave out stands in DIR
//	device STATUS CMD…      run a command while a person enters its code; it must exit so
//	givetoken VAR           set VAR to the refresh token that the issuer gave out last
//	expired PROFILE         wait until the profile's access token has expired
//	parallel N CMD…         run N processes at once; all must succeed and print the same
//	steal WORD              as another user, wait for a process with WORD in its arguments,
//	                        and log in with the URL among them; prints how that went
func TestScripts(t *testing.T) {
	runScripts(t, testscript.Params{
		Dir:                 inRoot("testdata/script"),
		RequireExplicitExec: true,
		Setup:               setup,
		Condition:           func(name string) (bool, error) { return name == "root" && os.Geteuid() == 0, nil }, // which may mount
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    cmdExits,
			"issuer":   cmdIssuer,
			"arm":      cmdArm,
			"count":    cmdCount,
			"notokens": cmdNoTokens,

			"device":    cmdDevice,
			"expired":   cmdExpired,
			"givetoken": cmdGiveToken,
			"parallel":  cmdParallel,
			"steal":     cmdSteal,
		},
	})
}

// approve is the scripts' browser: it says yes at the test issuer. With
// -no-callback it prints the redirect in place of following it; with -open it opens
// one page and does nothing there.
func approve() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	switch os.Args[1] {
	case "-open":
		var page *http.Response
		if page, err = (&http.Transport{}).RoundTrip(mustRequest(ctx, os.Args[2])); err == nil {
			_ = page.Body.Close()
			fmt.Println(page.StatusCode)
		}
	case "-no-callback":
		var redirect string
		redirect, err = authservertest.Redirect(ctx, os.Args[2], http.DefaultClient)
		fmt.Println(redirect)
	default:
		_, _, err = authservertest.Approve(ctx, os.Args[1], http.DefaultClient)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "approve:", err)
		os.Exit(1)
	}
}

func mustRequest(ctx context.Context, url string) *http.Request {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	return req
}

// me asks the test issuer's userinfo endpoint with the header on stdin, as curl -H @- would.
func me() {
	header, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	name, value, _ := strings.Cut(strings.TrimSpace(string(header)), ": ")
	req, err := http.NewRequest(http.MethodGet, os.Getenv("ISSUER")+"/userinfo", nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set(name, value)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	_, _ = io.Copy(os.Stdout, resp.Body)
}

func setup(env *testscript.Env) error {
	if err := os.WriteFile(env.WorkDir+"/client-key.pem", authservertest.ClientKeyPEM(), 0o600); err != nil {
		return err
	}
	for name, text := range map[string]string{"secret": authservertest.ClientSecret, "jwt-secret": authservertest.JWTClientSecret} {
		if err := os.WriteFile(env.WorkDir+"/"+name+".txt", []byte(text), 0o600); err != nil {
			return err
		}
	}
	if err := setupProgram(env); err != nil {
		return err
	}
	env.Defer(func() { // unmount what a failed script mounted
		if mounts, _ := os.ReadFile("/proc/mounts"); bytes.Contains(mounts, []byte(env.WorkDir+"/home ")) {
			_ = exec.Command("umount", "-l", env.WorkDir+"/home").Run()
		}
	})
	env.Setenv("BROWSER", "approve")
	server, err := authservertest.Start(authservertest.Options{})
	if err != nil {
		return err
	}
	env.Setenv("ISSUER", server.Issuer())
	env.Setenv("IDENTITY_URL", server.IdentityURL())
	env.Setenv("IDENTITY_BEARER", authservertest.TestRequestToken)
	env.Values[issuerKey{}] = &server
	env.Defer(func() { server.Close() })
	env.Defer(func() { stopAgent(filepath.Join(env.WorkDir, "home", "run", "agent.sock")) })
	return nil
}

// stopAgent ends what a script that failed has left.
func stopAgent(socket string) {
	_, _ = agent.Ask(context.Background(), socket, agent.Request{Do: agent.DoStop}, func(string) {})
}

type issuerKey struct{}

// issuer is the script's test issuer of the moment.
func issuer(ts *testscript.TestScript) **authservertest.Server {
	return ts.Value(issuerKey{}).(**authservertest.Server)
}

func cmdIssuer(ts *testscript.TestScript, _ bool, args []string) {
	var opts authservertest.Options
	for _, arg := range args {
		switch name, value, _ := strings.Cut(arg, "="); name {
		case "lifetime":
			lifetime, err := time.ParseDuration(value)
			ts.Check(err)
			opts.TokenLifetime = lifetime
		case "no-refresh-token":
			opts.NoRefreshToken = true
		case "no-refreshed-id-token":
			opts.NoRefreshedIDToken = true
		case "no-openid":
			opts.NoOpenID = true
		case "par":
			opts.PAR = true
		case "require-par":
			opts.RequirePAR = true
		case "dpop-nonce":
			opts.DPoPNonce = true
		case "dpop-required":
			opts.DPoPRequired = true
		case "registration":
			opts.Registration = true
		case "client-urls":
			opts.ClientURLs = true
		case "no-iss":
			opts.NoIss = true
		case "no-revocation":
			opts.NoRevocation = true
		case "jwt":
			opts.JWTAccessTokens = true
		case "tls":
			opts.TLS = true
		default:
			ts.Fatalf("issuer: there is no option %q", name)
		}
	}
	server, err := authservertest.Start(opts)
	ts.Check(err)
	(*issuer(ts)).Close()
	*issuer(ts) = server
	ts.Setenv("ISSUER", server.Issuer())
	ts.Setenv("IDENTITY_URL", server.IdentityURL())
	if opts.TLS {
		writeCertificates(ts, server)
	}
}

// writeCertificates leaves what a client of a server with TLS needs.
func writeCertificates(ts *testscript.TestScript, server *authservertest.Server) {
	certificate, key := server.ClientCertificatePEM()
	selfSigned, selfSignedKey := server.SelfSignedCertificatePEM()
	for name, text := range map[string][]byte{
		"ca.pem": server.CACertPEM(), "cert.pem": certificate, "cert-key.pem": key, "self-cert.pem": selfSigned, "self-key.pem": selfSignedKey,
	} {
		ts.Check(os.WriteFile(ts.MkAbs(name), text, 0o600))
	}
}

func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	want := atoi(ts, args[0])
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, not %d", got, want)
	}
}

// cmdDevice is the person with another device.
func cmdDevice(ts *testscript.TestScript, neg bool, args []string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go approveDevices(ctx, *issuer(ts))
	cmdExits(ts, neg, args)
}

// approveDevices says yes to whatever device asks, until ctx ends.
func approveDevices(ctx context.Context, server *authservertest.Server) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		if page := server.PendingDevice(); page != "" {
			_, _, _ = authservertest.Approve(ctx, page, http.DefaultClient)
		}
		<-tick.C
	}
}

func cmdArm(ts *testscript.TestScript, _ bool, args []string) {
	times := 1
	if len(args) > 1 {
		times = atoi(ts, args[1])
	}
	ts.Check((*issuer(ts)).InjectFault(args[0], times))
}

func cmdCount(ts *testscript.TestScript, _ bool, args []string) {
	if got, want := (*issuer(ts)).Count(args[0]), atoi(ts, args[1]); got != want {
		ts.Fatalf("%s has seen %d requests, not %d", args[0], got, want)
	}
}

func cmdExpired(ts *testscript.TestScript, _ bool, args []string) {
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for {
		_ = ts.Exec("fob", "status", args[0], "--json") // its exit status differs
		if !strings.Contains(ts.ReadFile("stdout"), `"state": "valid"`) {
			return
		}
		<-pause.C
	}
}

func atoi(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	return n
}

func cmdNoTokens(ts *testscript.TestScript, _ bool, args []string) {
	tokens := (*issuer(ts)).IssuedTokens()
	if len(tokens) == 0 {
		ts.Fatalf("the issuer has given out no token to look for")
	}
	files := 0
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		for _, token := range tokens {
			if bytes.Contains(content, []byte(token)) {
				return fmt.Errorf("a token stands in the clear in %s", path)
			}
		}
		return err
	}))
	if files == 0 {
		ts.Fatalf("there is no file in %s", args[0])
	}
}

func cmdGiveToken(ts *testscript.TestScript, _ bool, args []string) {
	for _, token := range slices.Backward((*issuer(ts)).IssuedTokens()) {
		if strings.Contains(token, "refresh") {
			ts.Setenv(args[0], token)
			return
		}
	}
	ts.Fatalf("the issuer has given out no refresh token")
}

// cmdParallel takes the environment of the script.
func cmdParallel(ts *testscript.TestScript, _ bool, args []string) {
	commands := make([]*exec.Cmd, atoi(ts, args[0]))
	outputs := make([]bytes.Buffer, len(commands))
	program, err := lookPath(ts.Getenv("PATH"), args[1])
	ts.Check(err)
	for i := range commands {
		commands[i] = exec.Command(program, args[2:]...)
		commands[i].Env = scriptEnv(ts)
		commands[i].Stdout, commands[i].Stderr = &outputs[i], os.Stderr
		ts.Check(commands[i].Start())
	}
	for i, command := range commands {
		if err := command.Wait(); err != nil {
			ts.Fatalf("process %d of %d: %v", i+1, len(commands), err)
		}
	}
	for i := range outputs {
		if outputs[i].Len() == 0 || !bytes.Equal(outputs[i].Bytes(), outputs[0].Bytes()) {
			ts.Fatalf("process %d printed something else than the first", i+1)
		}
	}
}

func scriptEnv(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "FOB_HOME", "FOB_STORAGE", "FOB_SEAL_KEY", "GORACE", "SystemRoot", "TMPDIR"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

// lookPath finds a program in the script's PATH, not in the test's own.
func lookPath(path, name string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("%s is not in the script's PATH", name)
}
