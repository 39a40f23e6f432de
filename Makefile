# Everything starts with set-up, which does nothing where nothing changed.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint clean

PYTHON ?= python3
ENVIRONMENT := source .venv/setup.bash
WORKSPACE := .venv/workspace

help:  ## this list
	@sed -nE 's/^([a-z]+):.*  ## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup:  ## make .venv: Python, ROS 2 Jazzy, libraries, this package (PYTHON=... chooses the interpreter)
	@command -v $(PYTHON) >/dev/null || { echo 'No $(PYTHON). On Debian and Ubuntu: sudo apt-get install python3 python3-venv' >&2; exit 1; }
	@PYTHON=$(PYTHON) $(PYTHON) scripts/make_environment.py

demo: setup  ## fly both flights, score them, write report.html (ARGS='--satellite DIR ...')
	@$(ENVIRONMENT) && rstrack demo $(ARGS)

lint: setup  ## ruff and mypy
	@$(ENVIRONMENT) && ruff check . && mypy

test: lint  ## ruff, mypy and the tests, as continuous integration runs them
	@$(ENVIRONMENT) && rm -rf $(WORKSPACE)/build/*/test_results && cd $(WORKSPACE) && \
	{ colcon test --event-handlers console_direct+ --return-code-on-test-failure || failed=1; } && \
	colcon test-result --test-result-base build --verbose && [ -z "$${failed:-}" ]

clean:  ## remove .venv, and with it everything that set-up made
	rm -rf .venv
