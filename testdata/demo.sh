#!/bin/sh
# A tour of fob in a minute, against a test issuer on this machine. Every command that it
# runs is shown, so that the output reads like a tutorial.
set -eu

home=$(mktemp -d)
issuer_pid=
cleanup() {
	if [ -n "$issuer_pid" ]; then
		"$home/fob" logout --all --local >/dev/null 2>&1 || true
		kill "$issuer_pid" 2>/dev/null || true
	fi
	rm -rf "$home"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

say() {
	printf '\n'
	printf '# %s\n' "$@"
}
run() {
	printf '\n$ %s\n' "$1"
	eval "$1"
}

say 'Building fob, and a test issuer in place of your identity provider.'
go build -o "$home/fob" .
go build -o "$home/authserver" ./internal/authservertest/authserver

"$home/authserver" -listen 127.0.0.1:0 -token-lifetime 3s >"$home/issuer" 2>"$home/issuer.log" &
issuer_pid=$!
while ! [ -s "$home/issuer" ]; do
	kill -0 "$issuer_pid" # stops the demo if the issuer could not start
	sleep 0.1
done
ISSUER=$(head -n 1 "$home/issuer")

# All files of the demo are in one folder, which is deleted at the end.
PATH=$home:$PATH
FOB_HOME=$home/fob-home
export PATH FOB_HOME ISSUER
mkdir "$home/work" # apart from FOB_HOME: in a CI job, a configuration below this folder is not trusted
cd "$home/work"

case $(uname) in
Linux) display=${DISPLAY:-}${WAYLAND_DISPLAY:-} ;;
*) display=yes ;;
esac
if [ -z "$display" ] || [ -n "${CI:-}" ]; then
	say 'There is no display here, so a small program approves the login instead of a browser.'
	printf '#!/bin/sh\nexec "%s/authserver" approve "$1"\n' "$home" >"$home/approve"
	chmod +x "$home/approve"
	BROWSER=$home/approve
	export BROWSER
fi

say 'Log in. The browser comes back to a loopback address of this machine.'
login='fob login demo --issuer "$ISSUER" --client-id fob-test'
status=0
run "$login" || status=$?
if [ "$status" = 6 ]; then
	say 'This machine has no OS keyring that fob can use, and fob never falls back by itself.' \
		'So the demo uses an encrypted file, with a key from the environment.'
	FOB_SEAL_KEY=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
	export FOB_SEAL_KEY
	run "$login --storage file"
elif [ "$status" != 0 ]; then
	exit "$status"
fi

say 'Show who is logged in, for how long, and where the login is stored.'
run 'fob status demo'

say 'Print a token for a script: stdout has the token and nothing else.'
run 'fob token demo'
run 'TOKEN=$(fob token demo) && echo "a token of ${#TOKEN} characters"'

say 'Print a header for curl, so that the token is never in an argument.'
run 'fob token demo --header'

say 'The tokens of this issuer expire after 3 seconds. Then fob refreshes.'
run 'sleep 4'
run 'fob token demo'

say 'Log out: revoke the tokens at the server, and delete the login here.'
run 'fob logout demo'
run 'fob token demo || echo "exit status $?"'

say 'Issue an API key for a service of your own: it is printed once, and only a hash is stored.'
run 'fob key create --owner demo --scope orders:read >key.txt'
run 'fob key verify --scope orders:read <key.txt'
run 'fob key rotate --owner demo --overlap 1h --yes >new.txt'
run 'fob key list'

say 'That is all; the demo leaves nothing behind. Try next:' \
	'fob login github        (asks for a client ID, and shows where to get one)' \
	'fob profile providers   (the other servers that need no URL)' \
	'fob help login'
