#!/bin/sh
# Looks up the packages that production runs, at their locked versions, among the known vulnerabilities of
# https://osv.dev. Where that does not answer nothing can be said, and it says so. Fails for a package that has one.
set -eu
database=${AUDIT_DATABASE:-https://api.osv.dev}
if ! .venv/bin/python - "$database" <<'PYTHON'
import sys, urllib.request
try:
    urllib.request.urlopen(f"{sys.argv[1]}/v1/query", b'{"package": {"name": "pip", "ecosystem": "PyPI"}}', timeout=10)
except OSError as error:
    sys.exit(f"{sys.argv[1]}: {error}")
PYTHON
then
	echo "!! NO AUDIT: the database of vulnerabilities does not answer, so the packages were not looked up."
	exit 0
fi
# Apart from the project's own packages, which need none of these.
stamp=.venv/audit/.installed-$(cksum <requirements/audit.txt | tr ' ' '-')
if [ ! -e "$stamp" ]; then
	rm -rf .venv/audit
	.venv/bin/python -m venv .venv/audit
	.venv/audit/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements/audit.txt
	touch "$stamp"
fi
exec .venv/audit/bin/pip-audit --vulnerability-service osv --disable-pip --progress-spinner off -r requirements/runtime.txt
