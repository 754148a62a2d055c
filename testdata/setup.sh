#!/bin/sh
# Sees to what the tests need beside Go: installs it as root on Debian, else says
# the one line that does. With CI=true a missing part is a failure.
set -eu

[ "$(uname)" = Linux ] || exit 0

missing=
need() { # PROGRAM PACKAGE
	command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need dbus-daemon dbus
need gnome-keyring-daemon gnome-keyring
need secret-tool libsecret-tools
need keepassxc keepassxc
need chromium chromium
need node nodejs
need npm npm
need gcc gcc
need curl curl
need gh gh
need fish fish
need zsh zsh
need rpm rpm
need strace strace
need tmux tmux
need man man-db
need unzip unzip
[ -e /usr/share/bash-completion/bash_completion ] || need bash-completion bash-completion
need /usr/lib/wine/wine64 wine64
need glewlwyd "glewlwyd dbconfig-sqlite3" # brings sqlite3; without the latter, MariaDB's client
need nginx nginx-light
need caddy caddy
need haproxy haproxy
need wrk wrk
need etcd etcd-server
need kubectl kubernetes-client
need docker-registry docker-registry
need aws awscli
need oidc-agent oidc-agent-cli
need ssh openssh-client
need /usr/sbin/sshd openssh-server
need x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64-win32
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need initdb postgresql
need pip3 python3-pip
moto() { # the double of AWS; Debian has none
	command -v moto_server >/dev/null 2>&1 || PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore pip3 install --quiet 'moto[server]==5.2.1'
}
if [ -z "$missing" ]; then
	moto
	exit 0
fi

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing:$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	policy=/usr/sbin/policy-rc.d # says which services may start
	services='glewlwyd postgresql nginx caddy haproxy etcd docker-registry ssh'
	case "$missing" in *glewlwyd* | *postgresql* | *nginx* | *caddy* | *haproxy* | *etcd* | *docker-registry* | *openssh-server*)
		# Debian would start them, glewlwyd with a password that everybody knows, for all
		# of the network. The tests run their own.
		if [ ! -e "$policy" ]; then
			trap 'rm -f "$policy"' EXIT
			trap 'exit 1' INT TERM
			printf '#!/bin/sh\ncase "$1" in glewlwyd* | postgresql* | nginx* | caddy* | haproxy* | etcd* | docker-registry* | ssh*) exit 101 ;; esac\n' >"$policy"
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
	moto
	exit 0
fi
echo "The tests need more than is here. On Debian or Ubuntu:"
echo
echo "  sudo apt-get install --no-install-recommends$missing"
exit 1
