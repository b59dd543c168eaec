# `make train` and `make test` each do all of their own set-up; a second call installs nothing.

PYTHON ?= python3
BIN := .venv/bin
# Tests stay in their order, so that those of a file share what it prepares; a worker that has none
# left takes over some of another's.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal
ARGS ?=

.PHONY: train test test-slow faults coverage lint docs clean

train: .venv/installed
	$(BIN)/pyro-vae train $(ARGS)

test: .venv/installed-test
	$(PYTEST) -m "not slow" $(ARGS)

test-slow: .venv/installed-test
	$(PYTEST) -m slow $(ARGS)

# Hours of faults on purpose: signals, broken disks, damaged files; writes docs/results/faults.md.
faults: .venv/installed-test
	cd tests && ../$(BIN)/python -m faults $(ARGS)

coverage: .venv/installed-test
	$(PYTEST) -m "not slow" --cov --cov-report term:skip-covered $(ARGS)

docs: .venv/installed-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd tests && ../$(BIN)/mypy .

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/installed-test: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch .venv/installed $@

.venv/installed-docs: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch .venv/installed $@

clean:
	rm -rf .venv build *.egg-info
