// Command authserver runs the test issuer for the demo, or plays its browser.
//
//	authserver [-listen ADDRESS] [-token-lifetime DURATION] [-grace DURATION] [-no-rotation] [-latency DURATION]
//	    [-par] [-require-par] [-registration] [-dpop-nonce] [-jwt-access-tokens] [-device-interval SECONDS]
//	    [-tls -ca-file FILE]
//	authserver approve URL
package main

import (
	"context"
	"errors"
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
	var opts authservertest.Options
	flag.StringVar(&opts.Addr, "listen", "127.0.0.1:0", "the loopback `address`")
	flag.DurationVar(&opts.TokenLifetime, "token-lifetime", time.Hour, "how long access tokens live")
	flag.DurationVar(&opts.Grace, "grace", 0, "how long a used refresh token remains valid")
	flag.BoolVar(&opts.NoRotation, "no-rotation", false, "never rotate refresh tokens")
	flag.DurationVar(&opts.Latency, "latency", 0, "how long the token endpoint takes")
	flag.IntVar(&opts.TokenSize, "token-size", 0, "make refresh tokens of this many `characters`")
	flag.BoolVar(&opts.PAR, "par", false, "take pushed authorization requests")
	flag.BoolVar(&opts.RequirePAR, "require-par", false, "take no authorization requests but pushed ones")
	flag.BoolVar(&opts.Registration, "registration", false, "let clients register themselves")
	flag.BoolVar(&opts.DPoPNonce, "dpop-nonce", false, "want a nonce in DPoP proofs")
	flag.BoolVar(&opts.JWTAccessTokens, "jwt-access-tokens", false, "make access tokens JWTs")
	flag.IntVar(&opts.DeviceInterval, "device-interval", 1, "how many `seconds` a device waits between polls")
	flag.BoolVar(&opts.TLS, "tls", false, "speak TLS, and ask for client certificates")
	caFile := flag.String("ca-file", "", "write the certificate to trust to this `file`")
	flag.Parse()
	server, err := authservertest.Start(opts)
	if err != nil {
		return err
	}
	defer server.Close()
	if *caFile != "" {
		if !opts.TLS {
			return errors.New("-ca-file goes with -tls")
		}
		if err := os.WriteFile(*caFile, server.CACertPEM(), 0o600); err != nil {
			return err
		}
	}
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
