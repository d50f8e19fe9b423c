# `make setup` makes everything the other targets need. Each of them runs what it needs of that first, which is quick
# when nothing is to do: a browser is for the tests alone.

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	command -v $(name) >/dev/null 2>&1 && $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
BIN := .venv/bin
# What is installed is described by these; the stamp carries their hash, so that a change installs anew.
INPUTS := requirements/dev.txt pyproject.toml
STAMP := .venv/.installed-$(shell cat $(INPUTS) | cksum | tr ' ' '-')

.PHONY: setup runnable browser demo audit test up lint bench chaos fuzz alerts kubernetes screenshots

setup: runnable browser

runnable: $(STAMP)
	@$(BIN)/python -P -m stack.temporal_build
	@echo "ready: environment in .venv, Temporal in the cache"

browser:
	@tools/browser.sh

$(STAMP):
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found; install one, or run make PYTHON=/path/to/python"; exit 1; }
	@echo "making .venv with $$($(PYTHON) --version) and installing the packages of requirements/dev.txt"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "error: no environment could be made; on Debian or Ubuntu install the package python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@rm -f .venv/.installed-*
	@touch $@

demo: runnable
	@$(BIN)/followthrough demo

audit: runnable
	@tools/audit.sh

# Most of its time a test waits for others. Two stacks at once are what two processors have room for.
test: setup
	@$(BIN)/pytest --ignore=tests/chaos -m "not outage" --numprocesses 2 --dist loadfile --no-loadscope-reorder

up: runnable
	@$(BIN)/followthrough up

lint: runnable
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: runnable
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.jobs
	@$(BIN)/python -m benchmarks.watchers

# The console's pictures in docs/images.
screenshots: setup
	@$(BIN)/python -m tests.browser.screenshots

# Evaluates the alert rules as Prometheus does. The first time it builds promtool: 4 minutes, and 4 GB on the way.
alerts: runnable
	@tools/promtool.sh
	@$(BIN)/pytest -q tests/unit/deploy/test_monitoring.py

# Holds deploy/kubernetes against the schemas of Kubernetes and KEDA. The first time it builds kubeconform: a minute.
kubernetes: runnable
	@tools/kubeconform.sh

chaos: runnable
	@$(BIN)/pytest -s tests/chaos
	@$(BIN)/pytest --ignore=tests/chaos -m outage
	@RANDOM_ORDERS=440 $(BIN)/pytest tests/integration/orders/test_random_faults.py

# What `make test` sends a little of, in full: 10 minutes of requests. A failure names its seed: FUZZ_SEED=... repeats it.
fuzz: runnable
	@FUZZ=full $(BIN)/pytest tests/fuzzing
