# Lockstep. `make` alone lists what can be done.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN  := $(VENV)/bin

# One log line per package is noise; errors still show. Every package is checked against its hash.
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq

# Which interpreter builds the environment. Give PYTHON=... to choose; an environment that exists is kept.
PYTHON ?=
PYTHONS := $(if $(PYTHON),$(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)

##@ Help

.PHONY: help
help: ## List these targets
	@awk 'BEGIN { FS = ":.*## "; printf "\nUsage: make \033[1mTARGET\033[0m\n" } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-zA-Z_.-]+:.*## / { printf "  \033[36m%-10s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo

##@ Environment

.PHONY: .venv
.venv: $(VENV)/.dev ## Create or refresh the environment in .venv, with the tools for tests

$(BIN)/python:
	@for python in $(PYTHONS); do \
	  "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  echo "Creating $(VENV) with $$("$$python" --version)"; \
	  exec "$$python" -m venv $(VENV); \
	done; \
	echo "error: no Python 3.11 or newer with the venv module among: $(PYTHONS)." >&2; \
	echo "Install one (Debian and Ubuntu: apt-get install python3 python3-venv; macOS: brew install python)," >&2; \
	echo "or name one: make PYTHON=/path/to/python3" >&2; \
	exit 1

$(VENV)/.runtime: requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing requirements.txt"
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	@echo "Installing requirements-dev.txt"
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

.PHONY: lock
lock: $(VENV)/.dev ## Pin requirements*.txt anew from pyproject.toml
	$(LOCK) --output-file requirements.txt
	$(LOCK) --extra dev --constraint requirements.txt --output-file requirements-dev.txt
	@$(MAKE) $(VENV)/.dev

# The header that uv would write holds the command line, and with it whatever this machine's paths are.
LOCK = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
  --group build --no-emit-index-url --no-emit-find-links \
  --custom-compile-command "make lock"

##@ Cleaning

.PHONY: clean
clean: ## Remove the environment, caches and build results
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
