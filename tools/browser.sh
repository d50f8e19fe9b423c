#!/bin/sh
# Debian's Chromium for tests/browser, installed by apt where that is possible. Set-up does not fail for want of it.
command -v chromium >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing chromium for the browser tests"
	export DEBIAN_FRONTEND=noninteractive
	{ apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } </dev/null >/dev/null 2>&1
	command -v chromium >/dev/null 2>&1 && exit 0
fi
echo "!! NO CHROMIUM: tests/browser will be skipped. As root on Debian: apt-get install --no-install-recommends chromium"
