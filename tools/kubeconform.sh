#!/bin/sh
# Holds deploy/kubernetes against the schemas of Kubernetes and KEDA. These come from the network; where they don't, nothing
# can be said, and it says so. kubeconform is of the version that tools/kubeconform/go.mod pins, and built into the cache
# folder once, with the Go toolchain that `make setup` brings along.
set -eu
root="$(cd "$(dirname "$0")/.." && pwd)"
# The oldest version of Kubernetes that is to take them.
kubernetes=1.31.0
schemas=${KUBERNETES_SCHEMAS:-https://raw.githubusercontent.com/yannh/kubernetes-json-schema/master}
others=${OTHER_SCHEMAS:-https://raw.githubusercontent.com/datreeio/CRDs-catalog/main}
if ! "$root/.venv/bin/python" - "$schemas/v$kubernetes-standalone-strict/job-batch-v1.json" <<'PYTHON'
import sys, urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=10)
except OSError as error:
    sys.exit(f"{sys.argv[1]}: {error}")
PYTHON
then
	echo "!! NO CHECK OF KUBERNETES: the schemas cannot be had, so the manifests were held against none."
	exit 0
fi
told() { "$root/.venv/bin/python" -P -c "from stack.temporal_build import cache_folder, installed_go; print($1)"; }
cache="$(told 'cache_folder()')/kubeconform"
if [ ! -x "$cache/kubeconform" ]; then
	go="$(told 'installed_go() or ""')"
	go="${go:-$(command -v go || true)}"
	if [ -z "$go" ]; then
		echo "!! NO CHECK OF KUBERNETES: there is no Go toolchain to build kubeconform with"
		exit 0
	fi
	work="$cache/building"
	mkdir -p "$work"
	cd "$root/tools/kubeconform"
	CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off GOFLAGS="-modcacherw -buildvcs=false" GOMODCACHE="$work/modules" \
		GOCACHE="$work/objects" "$go" build -mod=readonly -trimpath -ldflags "-s -w" -o "$work/kubeconform" \
		github.com/yannh/kubeconform/cmd/kubeconform
	mv "$work/kubeconform" "$cache/kubeconform"
	rm -rf "$work"
fi
exec "$cache/kubeconform" -strict -summary -kubernetes-version "$kubernetes" -ignore-filename-pattern 'kustomiz(ation|econfig)\.yaml$' \
	-schema-location "$schemas/{{ .NormalizedKubernetesVersion }}-standalone{{ .StrictSuffix }}/{{ .ResourceKind }}{{ .KindSuffix }}.json" \
	-schema-location "$others/{{ .Group }}/{{ .ResourceKind }}_{{ .ResourceAPIVersion }}.json" \
	"$root/deploy/kubernetes"
