#!/bin/sh
# Runs each fuzz target for a while: testdata/fuzz.sh 10s
set -eu

said=${TMPDIR:-/tmp}/fob-fuzz.$$
trap 'rm -f "$said"' EXIT

# An input that fails is left in the package's testdata/fuzz.
fuzz() { # TARGET TIME PACKAGE
	go test -run '^$' -fuzz "^$1\$" -fuzztime "$2" "$3" >"$said" 2>&1 </dev/null
}

# When the time is up, Go before 1.27 now and then takes that for a failure (golang/go#75804).
# It says nothing else then, and the target has to pass a whole run after it.
only_time_is_up() {
	[ "$(sed -n '/^--- FAIL: /,/^FAIL$/p' "$said" | sed '1d;$d')" = '    context deadline exceeded' ]
}

go test -list '^Fuzz' ./... | while read -r word rest; do
	case $word in
	Fuzz*) targets="${targets:-} $word" ;;
	ok)
		package=${rest%%[[:space:]]*}
		for target in ${targets:-}; do
			echo "$target, $1"
			fuzz "$target" "$1" "$package" || { only_time_is_up && echo 'once more: the time was up' && fuzz "$target" "$1" "$package"; } ||
				{ cat "$said"; exit 1; }
			grep '^fuzz: elapsed' "$said" | tail -n 1
		done
		targets=
		;;
	esac
done
