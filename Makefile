# Catga's commands. Each target's comment is its help: `make help`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements/dev.lock
STAMP := $(VENV)/.installed

BENCH_VENV := .venv-bench

.PHONY: help setup lock clean bench bench-page

help: ## show every target and what it does
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  \033[36m%-14s\033[0m %s\n", $$1, $$2}'

$(STAMP): $(LOCK) Cargo.lock $(shell find rust -name '*.rs' -o -name 'Cargo.toml' 2>/dev/null) pyproject.toml
	@command -v cargo >/dev/null || { echo "Rust is missing: install it (1.85 or newer) with rustup, then run make again" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@cmp -s $(LOCK) $(VENV)/.lock || { $(BIN)/python -m pip install --quiet --upgrade pip && $(BIN)/pip install --quiet --require-hashes -r $(LOCK) && cp $(LOCK) $(VENV)/.lock; }
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --release --locked --quiet
	@touch $@

setup: $(STAMP) ## make .venv, install what is locked, build the Rust extension

lock: ## resolve the dependencies anew into requirements/
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group pyproject.toml:dev pyproject.toml -o requirements/dev.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group pyproject.toml:dev --group pyproject.toml:bench pyproject.toml -o requirements/bench.lock
	cargo update --workspace

$(BENCH_VENV)/.installed: requirements/bench.lock $(STAMP)
	@test -x $(BENCH_VENV)/bin/python || $(PYTHON) -m venv $(BENCH_VENV)
	@cmp -s $< $(BENCH_VENV)/.lock || { $(BENCH_VENV)/bin/python -m pip install --quiet --upgrade pip && $(BENCH_VENV)/bin/pip install --quiet --require-hashes -r $< && cp $< $(BENCH_VENV)/.lock; }
	@VIRTUAL_ENV=$(CURDIR)/$(BENCH_VENV) $(BENCH_VENV)/bin/maturin develop --release --locked --quiet
	@touch $@

bench: $(BENCH_VENV)/.installed ## measure us and the peers side by side; fails where a bar is short (about 5 minutes)
	@$(BENCH_VENV)/bin/python -m benches

bench-page: $(BENCH_VENV)/.installed ## write docs/benchmarks.md from the last run
	@$(BENCH_VENV)/bin/python -m benches --page

clean: ## remove what was built
	rm -rf $(VENV) $(BENCH_VENV) target dist site .hypothesis .pytest_cache .mypy_cache .ruff_cache
	find python tests benches examples -name __pycache__ -prune -exec rm -rf {} +
	rm -f python/catga/_core*.so
