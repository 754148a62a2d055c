#!/bin/sh
# Publishes what other jobs have built and signed. It needs gh, and builds and installs
# nothing. What is published already is skipped, so that a failed job can be run again.
#
#   publish.sh release DIST    the files, as the release of the tag GITHUB_REF_NAME
#   publish.sh packages DIST   the manifests for Homebrew, Scoop and winget
set -eu

tag=$GITHUB_REF_NAME
version=${tag#v}
owner=fobcli
pre=
case $version in *-*) pre=--prerelease ;; esac
dist=$2

if [ "$1" = release ]; then
	(cd "$dist" && sha256sum --quiet --check "fob_${version}_checksums.txt")
	list=fob_${version}_checksums.txt
	if published=$(gh release download "$tag" --repo "$owner/fob" --pattern "$list" --output - 2>/dev/null); then
		[ "$published" = "$(cat "$dist/$list")" ] && exit
		echo "publish: the release $tag exists with other files" >&2
		exit 1
	fi
	exec gh release create "$tag" --repo "$owner/fob" --verify-tag --title "$tag" ${pre:+"$pre"} \
		--notes "CHANGELOG.md lists the changes; README.md says how to verify these files." "$dist/fob_${version}_"*
fi

if [ -z "${GH_TOKEN:-}" ] || [ -n "$pre" ]; then
	echo 'publish: no packages: there is no FOB_PACKAGES_TOKEN, or this is a pre-release' >&2
	exit 0
fi
put() { # REPOSITORY PATH FILE BRANCH
	url=repos/$owner/$1/contents/$2
	# gh prints the body of an error on stdout, too.
	old=$(gh api "$url?ref=$4" --jq .sha 2>/dev/null) || old=
	base64 -w0 <"$3" | gh api --silent -X PUT "$url" -F content=@- -f "message=fob $version" -f "branch=$4" ${old:+-f "sha=$old"}
}
put homebrew-tap Casks/fob.rb "$dist/homebrew/Casks/fob.rb" main
put scoop-bucket fob.json "$dist/scoop/fob.json" main

branch=fob-$version
gh api --silent -X POST "repos/$owner/winget-pkgs/merge-upstream" -f branch=master
head=$(gh api "repos/$owner/winget-pkgs/git/ref/heads/master" --jq .object.sha)
gh api --silent "repos/$owner/winget-pkgs/git/ref/heads/$branch" 2>/dev/null ||
	gh api --silent -X POST "repos/$owner/winget-pkgs/git/refs" -f "ref=refs/heads/$branch" -f "sha=$head"
manifests=manifests/f/fobcli/fob/$version
for file in "$dist/winget/$manifests"/*; do
	put winget-pkgs "$manifests/${file##*/}" "$file" "$branch"
done
gh pr list --repo microsoft/winget-pkgs --state all --head "$branch" --json headRepositoryOwner --jq '.[].headRepositoryOwner.login' | grep -qx "$owner" ||
	gh pr create --repo microsoft/winget-pkgs --head "$owner:$branch" --base master --title "New version: fobcli.fob version $version" --body "fob $version"
