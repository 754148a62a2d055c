#!/bin/sh
# Runs each fuzz target for a while, several packages at once: testdata/fuzz.sh 10s [PACKAGE]
set -eu
cd "$(dirname "$0")/.."

if [ $# = 1 ]; then
	packages=$(grep -rl --include='*_test.go' '^func Fuzz' cmd internal | xargs -n 1 dirname | sort -u)
	# shellcheck disable=SC2086 # one line each
	printf '%s\n' $packages | xargs -n 1 -P "$(getconf _NPROCESSORS_ONLN)" sh testdata/fuzz.sh "$1"
	exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
said=$work/said
go test -c -fuzz . -o "$work/fuzz.test" "./$2"
cache=$(go env GOCACHE)/fuzz/$(go list -f '{{.ImportPath}}' "./$2") # go test's own
cd "$2"

# An input that fails is left in the package's testdata/fuzz.
fuzz() { # TARGET TIME
	"$work/fuzz.test" -test.run '^$' -test.fuzz "^$1\$" -test.fuzztime "$2" -test.fuzzcachedir "$cache" -test.parallel 1 >"$said" 2>&1 </dev/null
}

# When the time is up, Go before 1.27 now and then takes that for a failure (golang/go#75804).
# It says nothing else then, and the target has to pass a whole run after it.
only_time_is_up() {
	[ "$(sed -n '/^--- FAIL: /,/^FAIL$/p' "$said" | sed '1d;$d')" = '    context deadline exceeded' ]
}

targets=$("$work/fuzz.test" -test.list '^Fuzz')
for target in $targets; do
	fuzz "$target" "$1" || { only_time_is_up && echo "$target once more: the time was up" && fuzz "$target" "$1"; } || { cat "$said"; exit 1; }
	echo "$target, $(grep '^fuzz: elapsed' "$said" | tail -n 1)"
done
