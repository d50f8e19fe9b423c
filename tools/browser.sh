#!/bin/sh
# Debian's Chromium for tests/browser, installed by apt where that is possible. Set-up does not fail for want of it.
command -v chromium >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing chromium for the browser tests"
	export DEBIAN_FRONTEND=noninteractive
	patience="-o Acquire::http::Timeout=30 -o DPkg::Lock::Timeout=60"
	# shellcheck disable=SC2086
	{ apt-get $patience update && apt-get $patience install -y --no-install-recommends chromium; } </dev/null >/dev/null 2>&1
	command -v chromium >/dev/null 2>&1 && exit 0
fi
echo "!! NO CHROMIUM: tests/browser will be skipped. As root on Debian: apt-get install --no-install-recommends chromium"
