// Command authserver runs the test issuer for the demo, or plays its browser.
//
//	authserver [-listen ADDRESS] [-token-lifetime DURATION] [-grace] [-no-rotation] [-latency DURATION]
//	authserver approve URL
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/fobcli/fob/internal/authservertest"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "authserver:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) == 3 && os.Args[1] == "approve" {
		return approve(ctx, os.Args[2])
	}
	listen := flag.String("listen", "127.0.0.1:0", "the loopback `address`")
	lifetime := flag.Duration("token-lifetime", time.Hour, "how long access tokens live")
	grace := flag.Bool("grace", false, "take an old refresh token once more")
	noRotation := flag.Bool("no-rotation", false, "never rotate refresh tokens")
	latency := flag.Duration("latency", 0, "how long the token endpoint takes")
	size := flag.Int("token-size", 0, "make refresh tokens of this many `characters`")
	flag.Parse()
	server, err := authservertest.Start(authservertest.Options{
		Addr: *listen, TokenLifetime: *lifetime, TokenSize: *size, Latency: *latency, Grace: *grace, NoRotation: *noRotation,
	})
	if err != nil {
		return err
	}
	defer server.Close()
	fmt.Println(server.Issuer())
	<-ctx.Done()
	return nil
}

func approve(ctx context.Context, authorizationURL string) error {
	status, _, err := authservertest.Approve(ctx, authorizationURL, http.DefaultClient)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the last page has status %d", status)
	}
	return err
}
