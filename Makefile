# One virtual environment, .venv, with the exact versions of constraints.txt; installed once, again when these change.

SEARCH = search lstm-reinforce --num-envs 16 --windows 24 --window-steps 2500 --retrain 60000

PYTHON ?= $(shell for python in python3.11 python3; do $$python -c "" 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e
NATIVE := $(wildcard archgym/native/*.h archgym/native/*.cpp)
# Threads of several workers spin against each other at every small product, which costs about ten times the time.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help search test lint bench bench-compare clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1#\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'#' '{ printf "%-20s %s\n", $$1, $$2 }'

search: .venv/.installed ## search an architecture and retrain the winner (the SEARCH line of the Makefile)
	$(BIN)/archgym $(SEARCH)

test: lint ## lint, check types, run every test
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist loadgroup

lint: .venv/.installed-dev ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.installed-dev ## run the benchmarks, save them under .benchmarks, print the ratios
	$(ONE_THREAD) $(BIN)/python -m benchmarks.saved_runs --run

bench-compare: .venv/.installed-dev ## run the benchmarks, name what is slower than in the last saved run
	$(ONE_THREAD) $(BIN)/python -m benchmarks.saved_runs --compare

clean: ## remove what tools left behind; keeps .venv and runs
	rm -rf build dist *.egg-info .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path ./.venv -prune -o -type d -name __pycache__ -exec rm -rf {} +

.venv/.installed: pyproject.toml setup.py constraints.txt $(NATIVE) | $(BIN)/python
	@echo "Installing archgym into .venv (one to two minutes, 2 GB on disk) ..."
	@$(INSTALL) .
	@touch $@

.venv/.installed-dev: pyproject.toml setup.py constraints.txt $(NATIVE) | $(BIN)/python
	@echo "Installing archgym and its tools into .venv (one to two minutes, 2 GB on disk) ..."
	@$(INSTALL) '.[dev]'
	@touch .venv/.installed $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "archgym needs Python 3.11 or newer; found neither python3.11 nor python3." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("archgym needs Python 3.11 or newer; $(PYTHON) is %d.%d. Name another: make PYTHON=..." % sys.version_info[:2])'
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
