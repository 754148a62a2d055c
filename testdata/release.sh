#!/bin/sh
# Builds a release, and publishes nothing. An image needs docker with buildx, and FOB_IMAGE;
# without them it is left out.
#
#   release.sh snapshot    twice, from two clones and with empty caches; all bytes must be equal
#   release.sh build       the tag that is checked out
set -eu
cd "$(dirname "$0")/.."

goreleaser=$(go env GOPATH)/bin/goreleaser
skip=publish
if [ -z "${FOB_IMAGE:-}" ] || ! docker buildx inspect >/dev/null 2>&1; then
	echo 'release: no image: FOB_IMAGE is not set, or docker does not respond' >&2
	skip=publish,docker
fi
export FOB_IMAGE="${FOB_IMAGE:-fobcli/fob}"

"$goreleaser" check
if [ "$1" = build ]; then
	exec "$goreleaser" release --clean "--skip=$skip"
fi

if [ -n "$(git status --porcelain)" ]; then
	echo 'release: commit first: what is released is a commit' >&2
	exit 1
fi
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
git clone --quiet . "$work/one"
git clone --quiet "$work/one" "$work/another"
for name in one another; do
	(cd "$work/$name" && GOCACHE=$work/cache-$name "$goreleaser" release --snapshot --clean --skip=docker)
done
dist=bin/dist
sums=$(cd "$work/one/$dist" && echo fob_*_checksums.txt)
cmp "$work/one/$dist/$sums" "$work/another/$dist/$sums"
# goreleaser writes the installers of a manifest in the order in which it came to them, and
# winget's has the day of the release: two builds around midnight differ in that.
for name in one another; do
	(cd "$work/$name/$dist" && find homebrew scoop winget -type f -exec cat {} + | sed 's/^ReleaseDate: "[0-9-]*"$/ReleaseDate:/' | sort) >"$work/$name.manifests"
done
cmp "$work/one.manifests" "$work/another.manifests"
(cd "$work/another/$dist" && sha256sum --quiet --check "$sums")
rm -rf bin/dist
mkdir -p bin
cp -r "$work/one/$dist" bin/dist
echo "release: $(wc -l <"bin/dist/$sums") files, twice the same"
