# Each target does its own set-up: `make demo` and `make test` work in a fresh clone with Python 3.11 or newer and make.
# `make PYTHON=python3.13 VENV=.venv-3.13 test` takes another Python.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
export KERAS_BACKEND := tensorflow
export TF_CPP_MIN_LOG_LEVEL := 3

.PHONY: help demo test test-quick coverage lint types lowest bench bench-quick clean

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "make %-12s %s\n", $$1, $$2 }'

demo: $(VENV)/.installed ## both jobs from simulated records to served answers; ends with the path of a report
	$(BIN)/seis-tf demo --out demo

test: $(VENV)/.installed-test ## all tests
	$(BIN)/pytest

test-quick: $(VENV)/.installed-test ## the tests that take no more than a few seconds each
	$(BIN)/pytest -m "not slow"

coverage: $(VENV)/.installed-test ## all tests, and which lines they run; fails below the share in setup.cfg
	$(BIN)/pytest --cov --cov-report=term

lint: $(VENV)/.installed-test types ## style, docstrings, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test ## types alone
	$(BIN)/python tools/typecheck.py

lowest: ## the quick tests in a fresh environment with the lowest versions that setup.cfg allows
	rm -rf $(LOWEST)
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/pip install --quiet uv
	VIRTUAL_ENV=$(LOWEST) $(LOWEST)/bin/uv pip install --quiet --resolution lowest-direct --editable ".[test]"
	$(LOWEST)/bin/pytest tests/test_dependencies.py
	$(LOWEST)/bin/seis-tf --help > /dev/null
	$(LOWEST)/bin/pytest -m "not slow"

bench: $(VENV)/.installed-bench ## every benchmark, beside what one would use instead
	$(BIN)/python benchmarks/run.py

bench-quick: $(VENV)/.installed-bench ## a smoke run of the benchmarks
	$(BIN)/python benchmarks/run.py --quick

$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable ".[serve]"
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable ".[test]"
	touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable ".[bench]"
	touch $@

clean: ## removes what the other targets wrote, environments excepted
	rm -rf demo build dist *.egg-info .pytest_cache .ruff_cache .coverage .coverage.*
