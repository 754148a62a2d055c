#!/bin/sh
# The main job of fob in a minute, against a test issuer on this machine.
# Every command that it runs is shown, so that the output reads as a tutorial.
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

say 'Building fob and a test issuer that stands in for your identity provider.'
go build -o "$home/fob" .
go build -o "$home/authserver" ./internal/authservertest/authserver

"$home/authserver" -listen 127.0.0.1:0 -token-lifetime 5s >"$home/issuer" 2>"$home/issuer.log" &
issuer_pid=$!
while ! [ -s "$home/issuer" ]; do
	kill -0 "$issuer_pid" # stops the demo if the issuer could not start
	sleep 0.1
done
ISSUER=$(head -n 1 "$home/issuer")

# Everything of the demo stays in one folder, which goes at the end.
PATH=$home:$PATH
FOB_HOME=$home/fob-home
export PATH FOB_HOME ISSUER
cd "$home"

case $(uname) in
Linux) display=${DISPLAY:-}${WAYLAND_DISPLAY:-} ;;
*) display=yes ;;
esac
if [ -z "$display" ] || [ -n "${CI:-}" ]; then
	say 'There is no display here: a few lines of HTTP say yes in place of a browser.'
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
	say 'This machine has no OS keyring that fob could use, and fob never falls back by itself.' \
		'So the demo asks for the encrypted file, with a key from the environment.'
	FOB_SEAL_KEY=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
	export FOB_SEAL_KEY
	run "$login --storage file"
elif [ "$status" != 0 ]; then
	exit "$status"
fi

say 'Who is logged in, for how long, and where the login is kept.'
run 'fob status demo'

say 'A token for a script: stdout is the token and nothing else.'
run 'fob token demo'
run 'TOKEN=$(fob token demo) && echo "a token of ${#TOKEN} characters"'

say 'As a header for curl, so that the token never stands in a command line.'
run 'fob token demo --header'

say 'The tokens of this issuer live for 5 seconds. After that, fob refreshes.'
run 'sleep 6'
run 'fob token demo'

say 'Log out: the tokens are revoked at the server, and the login is deleted here.'
run 'fob logout demo'
run 'fob token demo || echo "exit status $?"'

say 'An API key for a service of your own: printed once, a hash of it kept.'
run 'fob key create --owner demo --scope orders:read >key.txt'
run 'fob key verify --scope orders:read <key.txt'
run 'fob key rotate --owner demo --overlap 1h --yes >new.txt'
run 'fob key list'

say 'That was all of it; nothing stays behind. Try next:' \
	'fob login github        (asks for a client ID and says where to get one)' \
	'fob profile providers   (the other servers that need no URL)' \
	'fob help login'
