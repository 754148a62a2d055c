module github.com/fobcli/fob

go 1.26.4

require (
	filippo.io/age v1.2.1 // the format of backups
	github.com/c2sp/wycheproof v0.0.0-20260902155932-3fa63dd0344a // test vectors, in tests alone
	github.com/go-jose/go-jose/v4 v4.1.8 // id_token signatures and JWK sets
	github.com/godbus/dbus/v5 v5.2.4 // the messages of the Linux keyring
	github.com/gofrs/flock v0.13.1 // cross-process locks
	github.com/pelletier/go-toml/v2 v2.4.3 // config.toml
	github.com/pkg/browser v0.0.0-20240102092130-5ac0b6a4141c // opens the login page
	github.com/rogpeppe/go-internal v1.16.0 // testscript, in tests alone
	github.com/spf13/cobra v1.10.2 // commands, flags, completion
	github.com/spf13/pflag v1.0.9 // flags as cobra has them: completions, man pages
	github.com/zalando/go-keyring v0.2.8 // the keyrings of macOS and Windows
	go.yaml.in/yaml/v3 v3.0.5 // kubeconfigs
	golang.org/x/crypto v0.58.0 // XChaCha20-Poly1305, Argon2id, sealed boxes
	golang.org/x/oauth2 v0.37.0 // AuthCodeURL, PKCE, AuthStyle
	golang.org/x/sync v0.24.0 // errgroup: several deliveries at once; singleflight: one unlock for all who wait
	golang.org/x/sys v0.49.0 // file ownership and open flags
	golang.org/x/term v0.47.0 // prompts without echo
	rsc.io/qr v0.2.0 // the QR code of the device flow
)

require (
	github.com/jackc/pgx/v5 v5.12.0 // a registry in PostgreSQL; only its pgconn is linked
	github.com/ncruces/go-sqlite3 v0.37.0 // a registry in a file, without C
	modernc.org/sqlite v1.62.0 // the same, on Windows
)

require (
	github.com/danieljoos/wincred v1.2.3 // indirect
	github.com/dustin/go-humanize v1.1.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/ncruces/go-sqlite3-wasm/v6 v6.5.35401 // indirect
	github.com/ncruces/go-strftime v1.1.0 // indirect
	github.com/ncruces/julianday v1.0.0 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/tools v0.52.0 // indirect
	modernc.org/libc v1.80.1 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.12.1 // indirect
)
