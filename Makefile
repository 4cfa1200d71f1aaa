# Everything a developer or CI runs. Needs Python 3.11 or newer and make; the environment is made on first use.
#
#   make demo       environment + the main job on synthetic patients: DICOM -> index -> store -> a trained network
#   make test       environment + the whole test suite
#   make lint       ruff, mypy, import-linter
#   make docs       build the documentation; a broken reference fails
#   make bench      time us and other tools (DATA=folder of DICOM, AREAS=scan ...) and write docs/benchmarks.md
#   make test-fuzz  damaged files for FUZZ_SECONDS (600) from another seed each time
#   make test-all   what takes minutes more: slow tests, kernels as plain Python, oldest dependencies
#
# VENV=folder puts the environment elsewhere, PYTHON=program chooses the Python that makes it, WORKERS=n how many processes
# share the tests (0: this one alone; as many as CPUs, 8 at most, where not given). ARGS=... goes to pytest.

SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= auto
PYTEST := $(BIN)/python -m pytest
SHARED_OUT := -n $(WORKERS) --maxprocesses 8 --dist loadfile
PROJECT := pyproject.toml constraints.txt
DEMO_DIR ?= demo-output
AREAS ?= query download scan decode kernels convert compile store remote loading rtstruct gpu
FUZZ_SECONDS ?= 600
FUZZ_SEED ?= $(shell date +%s)
RECENT_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c '$(RECENT_ENOUGH)' 2>/dev/null && echo $$p && break; done)

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs bench test-all test-fuzz test-slow test-plain-python test-oldest clean

help:
	@sed -n 's/^#   \(make .*\)/\1/p' Makefile

demo: $(VENV)/.has-train
	@echo; echo '== demo: synthetic patients -> index -> store -> training; results go to $(DEMO_DIR)'
	@test ! -e $(DEMO_DIR) || { echo '$(DEMO_DIR) is there from an earlier run: remove it, or name another folder, make demo DEMO_DIR=...'; exit 1; }
	$(BIN)/medimagenet demo --out $(DEMO_DIR)

test: $(VENV)/.has-dev
	@echo; echo '== test: the whole suite; tests whose program or data is absent say so and skip'
	$(PYTEST) $(SHARED_OUT) $(ARGS)

lint: $(VENV)/.has-dev
	@echo; echo '== lint: ruff check, ruff format, mypy, import-linter'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.has-dev
	@echo; echo '== docs: building into site/, broken references fail'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.has-dev $(VENV)-peers/.has-peers
	@echo; echo '== bench: $(AREAS)$(if $(DATA), on $(DATA), on synthetic patients)'
	@set -e; for area in $(AREAS); do echo "-- $$area"; $(BIN)/python -m benchmarks.$$area $(if $(DATA),--data $(DATA)) \
		--peers $(VENV)-peers --json benchmarks/results/$$area.json; done
	$(BIN)/python -m benchmarks.report

test-all: test test-slow test-plain-python test-oldest

test-slow: $(VENV)/.has-dev
	@echo; echo '== test-slow: tests marked slow'
	$(PYTEST) -m slow $(ARGS)

test-fuzz: $(VENV)/.has-dev
	@echo; echo '== test-fuzz: damaged files for $(FUZZ_SECONDS) s, first seed $(FUZZ_SEED)'
	MEDIMAGENET_FUZZ_SECONDS=$(FUZZ_SECONDS) MEDIMAGENET_FUZZ_SEED=$(FUZZ_SEED) $(PYTEST) tests/fuzz -o timeout=0 $(ARGS)

test-plain-python: $(VENV)/.has-dev
	@echo; echo '== test-plain-python: the kernels as plain Python; what compiles must also be right uncompiled'
	NUMBA_DISABLE_JIT=1 $(PYTEST) tests/kernels -m 'not slow' $(SHARED_OUT) $(ARGS)

test-oldest: $(VENV)-oldest/.has-oldest
	@echo; echo '== test-oldest: the suite with the oldest versions that pyproject.toml allows'
	$(VENV)-oldest/bin/python -m pytest $(SHARED_OUT) $(ARGS)

clean:
	@echo; echo '== clean: environments, caches and built pages'
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-peers site dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# --- Environments: rebuilt only when pyproject.toml or constraints.txt change ---------------------------------------

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found; install one, or name it: make PYTHON=/path/to/python"; exit 1; }
	@echo; echo '== environment: making $(VENV) with $(PYTHON)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.has-train: $(PROJECT) | $(BIN)/python
	@echo; echo '== environment: installing the package with what training needs into $(VENV) (minutes on first use)'
	$(BIN)/python -m pip install -qq -c constraints.txt -e '.[train]'
	@touch $@

$(VENV)/.has-dev: $(PROJECT) | $(BIN)/python
	@echo; echo '== environment: installing the package with what its development needs into $(VENV) (minutes on first use)'
	$(BIN)/python -m pip install -qq -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.has-train

$(VENV)-peers/.has-peers: benchmarks/requirements.txt
	@echo; echo '== environment: installing the programs to compare with into $(VENV)-peers'
	$(PYTHON) -m venv $(VENV)-peers
	$(VENV)-peers/bin/python -m pip install -qq -r benchmarks/requirements.txt
	@touch $@

$(VENV)-oldest/.has-oldest: pyproject.toml
	@echo; echo '== environment: installing the oldest allowed versions into $(VENV)-oldest (OLDEST= takes options of uv)'
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip install -qq uv
	$(VENV)-oldest/bin/uv pip install -q -p $(VENV)-oldest --resolution lowest-direct $(OLDEST) -e '.[train,test]'
	@touch $@
