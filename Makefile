# Everything sets itself up: `make run` and `make test` need Python 3.11 or newer, make and a
# package index. The environments are .venv (run and development) and .venv-proto (stubs).
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
JOBS ?= 2
TESTS ?= tests
MINUTES ?= 10
PIP = $(1)/bin/python -m pip install -qq --disable-pip-version-check
PYTEST = .venv/bin/pytest -n $(JOBS) --dist worksteal --ignore tests/bench
BUF = .venv/bin/buf
BENCH = .venv/bin/python -m tests.bench

.PHONY: help run test test-long check fmt proto bench bench-latency pictures chaos lock clean setup setup-dev
.PHONY: check-format check-lint check-types check-floors check-house check-contract check-stubs check-units

help: ## Say what can be made
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | while IFS=$$'\t' read -r name text; \
	do printf '  make %-14s %s\n' "$$name" "$$text"; done
	@printf '\n  PYTHON=%s names another Python; JOBS=%s is how many things go on at once.\n' '$(PYTHON)' '$(JOBS)'

run: .venv/run.stamp ## Start the demo: embedded PostgreSQL, a demo inbox, three messages
	@exec .venv/bin/mailproxy serve --demo

test: .venv/dev.stamp ## Run the tests but the long ones (TESTS=tests/unit: some of them)
	$(PYTEST) -m "not long" $(TESTS)

test-long: .venv/dev.stamp ## Run the long tests: storms, failovers, many messages
	$(PYTEST) -m long $(TESTS)

check: .venv/dev.stamp .venv-proto/stamp ## Everything that can be said without running the whole: style, types, floors, contract, unit tests
	@$(MAKE) --no-print-directory --keep-going --jobs $(JOBS) --output-sync=target \
	  check-types check-format check-lint check-floors check-house check-contract check-stubs check-units
	@echo "check: all well"

fmt: .venv/dev.stamp ## Format the code and the contract
	.venv/bin/ruff check --fix-only --quiet .
	.venv/bin/ruff format .
	$(BUF) format --write proto

proto: .venv/dev.stamp .venv-proto/stamp ## Generate the Python stubs; refuse a breaking change of the contract
	$(BUF) lint
	if [ -e proto/image.binpb ]; then $(BUF) breaking proto --against proto/image.binpb; fi
	$(BUF) build proto --exclude-source-info --output proto/image.binpb
	.venv-proto/bin/python tools/stubs.py generate

bench: .venv/dev.stamp ## Measure throughput beside Postfix (BASE=commit: beside that commit; JSON=file)
	$(BENCH) throughput $(if $(BASE),--base $(BASE)) $(if $(JSON),--json $(JSON)) $(ARGS)

bench-latency: .venv/dev.stamp ## Measure what a caller waits for with a slow relay, beside smtplib (JSON=file)
	$(BENCH) latency $(if $(JSON),--json $(JSON)) $(ARGS)

pictures: .venv/dev.stamp ## Take the documentation's pictures of the page anew (needs Debian's chromium)
	PICTURES=docs .venv/bin/pytest -q tests/web/test_pictures.py

chaos: .venv/dev.stamp ## Faults at random for MINUTES=10 (SEED=n repeats a run; DATABASE=asynchronous or embedded)
	.venv/bin/python -m tests.behaviour.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(DATABASE),--$(DATABASE))

lock: .venv/dev.stamp ## Write the lock files anew (UPGRADE=1: with the newest versions)
	.venv/bin/python tools/lock.py $(if $(UPGRADE),--upgrade)

clean: ## Remove the environments and everything that was generated locally
	rm -rf .venv .venv-proto .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments -------------------------------------------------------------------------

setup: .venv/run.stamp
setup-dev: .venv/dev.stamp .venv-proto/stamp

# Makes the environment named $@ unless it works already; one line where Python is not up to it.
define VENV
	@$(dir $@)bin/python -c 'import pip' 2>/dev/null || { \
	  command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not here: apt-get install python3 python3-venv, or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }; \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is $$($(PYTHON) -c 'import platform; print(platform.python_version())'), and 3.11 or newer is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }; \
	  $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: apt-get install python3-venv, or name another: make PYTHON=/path/to/python3.11" >&2; exit 1; }; \
	  echo "Setting up $(@D) (a minute, this once)"; \
	  $(PYTHON) -m venv --clear $(@D); \
	  $(call PIP,$(@D)) --require-hashes -r requirements-pip.lock; }
endef

.venv/run.stamp: requirements.lock pyproject.toml clients/python/pyproject.toml
	$(VENV)
	@$(call PIP,.venv) --require-hashes -r requirements.lock
	@$(call PIP,.venv) --no-deps --no-build-isolation -e clients/python -e .
	@touch $@

.venv/dev.stamp: .venv/run.stamp requirements-dev.lock
	@echo "Adding the development tools to .venv"
	@$(call PIP,.venv) --require-hashes -r requirements-dev.lock
	@touch $@

.venv-proto/stamp: requirements-proto.lock
	$(VENV)
	@$(call PIP,.venv-proto) --require-hashes -r requirements-proto.lock
	@touch $@

# --- the parts of check -------------------------------------------------------------------

check-format:
	@.venv/bin/ruff format --check --quiet . || { echo "not formatted (see: .venv/bin/ruff format --diff .): make fmt"; exit 1; }
	$(BUF) format --diff --exit-code proto

check-lint:
	.venv/bin/ruff check --quiet .

check-types:
	.venv/bin/mypy

check-floors:
	.venv/bin/lint-imports --no-logo

check-house:
	.venv/bin/python -m tools.house

# The image is the contract as `make proto` last saw it, and that only lets it grow.
check-contract:
	$(BUF) lint
	$(BUF) breaking proto --against proto/image.binpb
	@$(BUF) build proto --exclude-source-info --output -#format=binpb | cmp --quiet - proto/image.binpb || { echo "proto/image.binpb is older than the contract: make proto"; exit 1; }

check-stubs:
	.venv-proto/bin/python tools/stubs.py check

check-units:
	.venv/bin/pytest --quiet -p no:cacheprovider tests/unit
