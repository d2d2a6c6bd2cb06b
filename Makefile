# Needs Python 3.11 or newer and make. `make demo` and `make test` set up all else in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
ISSUER ?=
CLIENT_ID ?=
CLIENT_SECRET ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint format types imports unit live bench readme catalogues clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.runtime: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: $(VENV)/.runtime ## a portal and an identity provider on this machine; ISSUER=… CLIENT_ID=… CLIENT_SECRET=… for your own provider
	@DIFY_DEMO_ISSUER='$(ISSUER)' DIFY_DEMO_CLIENT_ID='$(CLIENT_ID)' DIFY_DEMO_CLIENT_SECRET='$(CLIENT_SECRET)' $(BIN)/python -m flask_dify_oauth.demo

test: lint types imports unit ## every check that needs nothing but Python

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

unit: $(VENV)/.dev
	$(BIN)/python -m pytest --ignore=tests/live --ignore=tests/browser --cov --cov-report=term \
		--numprocesses=auto --maxprocesses=4 --dist=loadfile

live: $(VENV)/.dev ## the checks against real providers and a browser; installs what they need
	$(BIN)/python -m scripts.counterparts
	$(BIN)/python -m pytest tests/live tests/browser

bench: ## measure against bare Flask and against peers, in an environment of their own
	$(PYTHON) -m benchmarks

readme: $(VENV)/.dev ## write the settings table into both READMEs
	$(BIN)/python -m scripts.settings_table

catalogues: $(VENV)/.dev ## compile the translations
	$(BIN)/pybabel compile --domain dify_oauth --directory flask_dify_oauth/translations

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .venv-bench .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage build *.egg-info
