# Every target runs set-up first. Set-up does nothing if nothing changed.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo check test fuzz soak endurance lint docs sbom clean

PYTHON ?= python3
ENVIRONMENT := source .venv/setup.bash
# The installed package is tested, not the working directory.
PYTEST := PYTHONSAFEPATH=1 python -m pytest -rfE
# Processes of tests share the cores, and each has a ROS domain of its own. Tests with nodes mostly wait.
CORES := $(shell nproc)
NODE_TEST_PROCESSES := $(shell echo $$(( $(CORES) * 3 / 2 < 8 ? $(CORES) * 3 / 2 : 8 )))
# Failed tests run once more, alone: a loaded machine can exceed a time limit. Both results are printed.
RETRY := $(PYTEST) --last-failed --last-failed-no-failures none

help:  ## list the targets
	@sed -nE 's/^([a-z]+):.*  ## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup:  ## create .venv: Python, ROS 2 Jazzy, libraries, this package (PYTHON=... chooses the interpreter)
	@command -v $(PYTHON) >/dev/null || { echo 'No $(PYTHON). On Debian and Ubuntu: sudo apt-get install python3 python3-venv' >&2; exit 1; }
	@PYTHON=$(PYTHON) $(PYTHON) scripts/make_environment.py

demo: setup  ## run both demo scenarios, score them, write report.html (ARGS='--satellite DIR ...')
	@$(ENVIRONMENT) && rstrack demo $(ARGS)

lint: setup  ## ruff, mypy and codespell
	@$(ENVIRONMENT) && ruff check . && ruff format --check . && mypy && codespell

check: lint  ## lint and the fast tests, in under two minutes
	@$(ENVIRONMENT) && $(PYTEST) -n auto --dist worksteal -m "not ros and not slow and not gpu" test

test: lint  ## lint and all tests, as continuous integration runs them
	@$(ENVIRONMENT) && failed=0; \
	$(PYTEST) -n auto --dist loadfile -m "not ros" test || $(RETRY) -m "not ros" test || failed=1; \
	$(PYTEST) -n $(NODE_TEST_PROCESSES) --dist loadfile -m ros test || $(RETRY) -m ros test || failed=1; \
	exit $$failed

fuzz: setup  ## fuzz the readers of files and messages (ARGS='--seconds 60 mcap tiff')
	@$(ENVIRONMENT) && python test/fuzz/run.py $(ARGS)

soak: setup  ## inject faults into live nodes for an hour (ARGS='--faults 500 --seed 1 --max-minutes 600'); see also endurance
	@$(ENVIRONMENT) && PYTHONPATH="test/integration/faults:$${PYTHONPATH:-}" \
	python test/integration/faults/run.py --faults 1000000 --max-minutes 60 $(ARGS)

endurance: setup  ## run both trackers at a rate for an hour, with bounds for leaks and drift (ARGS='--minutes 480 --rate 10')
	@$(ENVIRONMENT) && rstrack bench soak $(ARGS)

docs: setup  ## build the documentation site in docs/_build/html
	@$(ENVIRONMENT) && python -m sphinx -W --keep-going -b html docs docs/_build/html

sbom: setup  ## list the installed packages as a CycloneDX document in sbom.json
	@test -x .venv/sbom/bin/cyclonedx-py || { $(PYTHON) -m venv .venv/sbom && .venv/sbom/bin/python -m pip install --quiet --requirement requirements/sbom.txt; }
	@.venv/sbom/bin/cyclonedx-py environment --output-reproducible --of JSON -o sbom.json .venv/bin/python

clean:  ## remove .venv and all that set-up made
	rm -rf .venv
