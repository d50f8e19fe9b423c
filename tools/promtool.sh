#!/bin/sh
# Builds promtool, of the version that tools/prometheus/go.mod pins, into the cache folder; once. Without a Go toolchain
# there is none: `make setup` brings one along when it builds Temporal.
set -eu
root="$(cd "$(dirname "$0")/.." && pwd)"
told() { "$root/.venv/bin/python" -P -c "from stack.temporal_build import cache_folder, installed_go; print($1)"; }
cache="$(told 'cache_folder()')/promtool"
[ -x "$cache/promtool" ] && exit 0
go="$(told 'installed_go() or ""')"
go="${go:-$(command -v go || true)}"
if [ -z "$go" ]; then
	echo "!! NO PROMTOOL: there is no Go toolchain to build it with, and the alerts are not evaluated"
	exit 0
fi
echo "building promtool, once for all (about 4 min on 2 cores)"
work="$cache/building"
mkdir -p "$work"
cd "$root/tools/prometheus"
CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off GOFLAGS="-modcacherw -buildvcs=false" GOMODCACHE="$work/modules" \
	GOCACHE="$work/objects" "$go" build -mod=readonly -trimpath -ldflags "-s -w" -o "$work/promtool" \
	github.com/prometheus/prometheus/cmd/promtool
mv "$work/promtool" "$cache/promtool"
rm -rf "$work"
