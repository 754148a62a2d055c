#!/bin/sh
# Sees to what the tests need beside Go: installs it as root on Debian, else prints
# the one line that does. With CI=true a missing part is a failure.
#
#	testdata/setup.sh [SUBJECT…]	without a subject: everything
#
# unit and e2e are what most tests need; each other subject is what one rare test needs.
set -eu
cd "$(dirname "$0")/.."

[ "$(uname)" = Linux ] || exit 0

missing=
need() { # PROGRAM PACKAGE
	command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

for_unit() {
	need gcc gcc # for the race detector
	need curl curl
	need dbus-daemon dbus
	need git git
	need systemd-socket-activate systemd
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need initdb postgresql
}

for_e2e() {
	for_unit
	need gnome-keyring-daemon gnome-keyring
	need secret-tool libsecret-tools
	need keepassxc keepassxc
	need chromium chromium
	need node nodejs
	need npm npm
	/usr/bin/python3 -c 'import dotenv' 2>/dev/null || need python3-dotenv python3-dotenv
	need gh gh
	need strace strace
	need tmux tmux
	need glewlwyd "glewlwyd dbconfig-sqlite3" # brings sqlite3; without the latter, MariaDB's client
	need pgbouncer pgbouncer
	need nginx nginx-light
	need caddy caddy
	need haproxy haproxy
	need ssh openssh-client
	need /usr/sbin/sshd openssh-server
	need docker-registry docker-registry
	need kubectl kubernetes-client
}

for_windows() {
	need /usr/lib/wine/wine64 wine64
	need x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64-win32
}

for_packages() {
	need rpm rpm
	need man man-db
	need fish fish
	need zsh zsh
	need unzip unzip
	[ -e /usr/share/bash-completion/bash_completion ] || need bash-completion bash-completion
}

for_aws() {
	need aws awscli
	python3 -c 'import ensurepip, venv' 2>/dev/null || need python3-venv python3-venv
	moto=5.2.1 # the double of AWS, in bin/moto; Debian has none
}

for_bench() {
	for_e2e
	need sqlite3 sqlite3
	need /usr/bin/time time
	need wrk wrk
	need oidc-agent oidc-agent-cli
}

for_soak() {
	need etcd etcd-server
}

moto=
for subject in ${*:-e2e windows packages aws bench soak}; do
	"for_$subject"
done

# A moto of this version that is installed already is used; nothing is installed into
# the system's Python.
install_moto() {
	[ -n "$moto" ] && [ "$(cat bin/moto/version 2>/dev/null)" != "$moto" ] || return 0
	rm -rf bin/moto
	python3 -m venv --system-site-packages bin/moto
	bin/moto/bin/python3 -m pip install --quiet --disable-pip-version-check "moto[server]==$moto"
	echo "$moto" >bin/moto/version
}

if [ -z "$missing" ]; then
	install_moto
	exit 0
fi

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing:$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	policy=/usr/sbin/policy-rc.d # says which services may start
	services='glewlwyd postgresql pgbouncer nginx caddy haproxy etcd docker-registry ssh'
	case "$missing" in *glewlwyd* | *postgresql* | *pgbouncer* | *nginx* | *caddy* | *haproxy* | *etcd* | *docker-registry* | *openssh-server*)
		# Debian would start them, glewlwyd with a password that everybody knows, for all
		# of the network. The tests run their own.
		if [ ! -e "$policy" ]; then
			trap 'rm -f "$policy"' EXIT
			trap 'exit 1' INT TERM
			printf '#!/bin/sh\ncase "$1" in glewlwyd* | postgresql* | pgbouncer* | nginx* | caddy* | haproxy* | etcd* | docker-registry* | ssh*) exit 101 ;; esac\n' >"$policy"
			chmod 755 "$policy"
		fi
		;;
	esac
	case "$missing" in *postgresql*)
		# No database of the system's own, either.
		mkdir -p /etc/postgresql-common
		[ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
		;;
	esac
	# shellcheck disable=SC2086 # a list of packages
	apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold $missing >/dev/null
	for service in $services; do
		case "$missing" in *"$service"*) update-rc.d "$service" disable >/dev/null 2>&1 || true ;; esac
	done
	install_moto
	exit 0
fi
echo "The tests need more than is here. On Debian or Ubuntu:"
echo
echo "  sudo apt-get install --no-install-recommends$missing"
exit 1
