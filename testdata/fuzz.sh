#!/bin/sh
# Runs each fuzz target for a while: testdata/fuzz.sh 10s
set -eu

go test -list '^Fuzz' ./... | while read -r word rest; do
	case $word in
	Fuzz*) targets="${targets:-} $word" ;;
	ok)
		for target in ${targets:-}; do
			echo "$target, $1"
			# An input that fails is left in the package's testdata/fuzz.
			go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" "${rest%%[[:space:]]*}" >"${TMPDIR:-/tmp}/fob-fuzz.$$" 2>&1 </dev/null ||
				{ cat "${TMPDIR:-/tmp}/fob-fuzz.$$"; exit 1; }
			grep '^fuzz: elapsed' "${TMPDIR:-/tmp}/fob-fuzz.$$" | tail -n 1
		done
		targets=
		;;
	esac
done
rm -f "${TMPDIR:-/tmp}/fob-fuzz.$$"
