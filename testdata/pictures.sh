#!/bin/sh
# Makes the README's pictures, .github/pictures, from the real program: a session in a
# terminal (tmux), the page of the issuer that asks, and the one that the browser ends on
# (Chromium), in light and dark.
set -eu

if [ -z "${PICTURES_BUS:-}" ]; then # a session of its own, with a keyring
	exec env PICTURES_BUS=1 dbus-run-session -- sh "$0"
fi

here=$(pwd)
work=$(mktemp -d)
issuer_pid= keyring_pid=
cleanup() {
	tmux -S "$work/tmux" kill-server 2>/dev/null || true
	for pid in $issuer_pid $keyring_pid; do kill "$pid" 2>/dev/null || true; done
	wait
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

mkdir -p "$here/.github/pictures" "$work/bin" "$work/home/.config"
go build -o "$work/bin/fob" .
go build -o "$work/authserver" ./internal/authservertest/authserver

# What the session must not see of this machine.
PATH=$work/bin:$PATH HOME=$work/home XDG_RUNTIME_DIR=$work TERM=xterm-256color DISPLAY=:0
export PATH HOME XDG_RUNTIME_DIR TERM DISPLAY
for name in $(env | sed -n 's/^\(FOB_[A-Z_]*\|CI\|SSH_[A-Z]*\|XDG_[A-Z]*_HOME\)=.*/\1/p'); do unset "$name"; done

printf pictures | gnome-keyring-daemon --foreground --unlock --components=secrets >/dev/null 2>&1 &
keyring_pid=$!
"$work/authserver" -listen 127.0.0.1:8180 -par >"$work/issuer" &
issuer_pid=$!
until [ -s "$work/issuer" ]; do
	kill -0 "$issuer_pid"
	sleep 0.1
done
mkdir -p "$work/home/.config/fob"
printf '[profile.work]\nissuer = "%s"\nclient_id = "fob-test"\nredirect_uri = "http://127.0.0.1/callback/{issuer}"\n' "$(cat "$work/issuer")" >"$work/home/.config/fob/config.toml"
chmod -R go= "$work/home"

cat >"$work/browser" <<END
#!/bin/sh
cd '$here/testdata/e2e' && exec node pictures.mjs pages "\$1" '$here/.github/pictures' >'$work/browser.log' 2>&1
END
chmod +x "$work/browser"
cat >"$work/bashrc" <<'END'
PS1='\n\[\e[32m\]$\[\e[0;1m\] '
PS0='\e[0m'
PROMPT_COMMAND='echo >>"$PROMPTS"'
END

run() { # COMMAND: types it, and waits for the next prompt
	[ -z "${1:-}" ] || tmux -S "$work/tmux" send-keys -l "$1"
	[ -z "${1:-}" ] || tmux -S "$work/tmux" send-keys Enter
	prompts=$((prompts + 1))
	for _ in $(seq 600); do
		[ "$(cat "$work/prompts" 2>/dev/null | wc -l)" -lt "$prompts" ] || return 0
		sleep 0.1
	done
	echo "'$1' does not end" >&2
	cat "$work/browser.log" >&2
	exit 1
}

prompts=0
cd "$work/home"
PROMPTS=$work/prompts BROWSER=$work/browser tmux -S "$work/tmux" -f /dev/null -u \
	new-session -d -x 82 -y 60 bash --noprofile --rcfile "$work/bashrc" -i
run
run 'fob login work'
run "fob exec --env TOKEN=token/work -- sh -c 'echo \"\${#TOKEN} characters\"'"
run 'fob key create --owner shop --env live --scope orders:read --note shop >key.txt'
run 'fob key verify --scope orders:read <key.txt'
run 'fob'
tmux -S "$work/tmux" capture-pane -e -p >"$work/session.ansi"
cd "$here/testdata/e2e"
node pictures.mjs terminal "$work/session.ansi" "$here/.github/pictures"
ls -l "$here/.github/pictures"
