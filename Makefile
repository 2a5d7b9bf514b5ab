# Lockstep. `make` alone lists what can be done.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN  := $(VENV)/bin
# uv trusts what the system trusts, as pip does: a company's own authority stands between here and the index of some.
export UV_SYSTEM_CERTS ?= true
# The peers that `make bench` measures bring packages that Lockstep and its tests must not see.
BENCH := .venv-bench
# What audits a release brings packages of its own too.
RELEASE := .venv-release
# And so does what builds the site.
DOCS := .venv-docs
# And what makes mutants.
MUTATION := .venv-mutation

# One log line per package is noise; errors still show. Every package is checked against its hash.
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq

# Which interpreter builds the environment. Give PYTHON=... to choose; an environment that exists is kept.
PYTHON ?=
PYTHONS := $(if $(PYTHON),$(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)

.PHONY: help
help: ## List these targets
	@awk -v colour="$$(test -t 1 && test -z "$$NO_COLOR" && echo yes)" ' \
	  function paint(code, text) { return colour ? sprintf("\033[%sm%s\033[0m", code, text) : text } \
	  BEGIN { FS = ":.*## "; print "\n" paint(1, "Lockstep") ": all hosts or none.\n\nUsage: make TARGET" } \
	  /^##@ / { print "\n" paint(1, substr($$0, 5)) } \
	  /^[a-zA-Z_.-]+:.*## / { print "  " paint(36, sprintf("%-12s", $$1)) $$2 }' $(MAKEFILE_LIST)
	@echo

##@ Run

.PHONY: demo
demo: $(VENV)/.runtime ## Watch a whole cluster change, fail and roll back, on this machine
	@$(BIN)/python -B -m lockstep.producer.demo

.PHONY: up
up: $(VENV)/.runtime ## Start Redis, workers, beat, Flower and a mock cluster here, until Ctrl-C
	@$(BIN)/python -B -m lockstep.producer.stack

.PHONY: picture
picture: $(VENV)/.dev ## Play the demo, and commands on three RabbitMQ servers, and draw what the README shows
	@$(BIN)/python -B -m tests.picture

.PHONY: docs
docs: $(VENV)/.dev $(DOCS)/.installed ## Build the site in build/site/html, with the references of the command and of Python
	@$(BIN)/python -B -m tests.ship.site

##@ Check

.PHONY: test
test: $(VENV)/.dev ## Run every suite; ONLY="unit contract" runs those alone, BROKER=stock with kombu's own transport
	@$(if $(BROKER),LOCKSTEP_BROKER=$(BROKER)) $(BIN)/python -B -m tests $(ONLY:%=--only %)

.PHONY: check
check: $(VENV)/.dev ## Lint, types, import contracts and unit tests, in less than a minute
	@$(BIN)/python -B -m tests --only checks --only unit

.PHONY: test-lowest test-newest test-stock
test-lowest: $(VENV)/.dev ## Unit, contract and integration on the lowest packages allowed, and the oldest Python here
	@$(BIN)/python -B -m tests.versions lowest

test-newest: $(VENV)/.dev ## The same on the newest packages allowed, and the newest Python here
	@$(BIN)/python -B -m tests.versions newest

test-stock: $(VENV)/.dev ## Integration and chaos with kombu's own transport in place of ours
	@$(MAKE) --no-print-directory test BROKER=stock ONLY="integration chaos"

.PHONY: shake
shake: $(VENV)/.dev ## Run every suite 20 times with processors kept busy and pytest paused, and keep what failed; ONLY=, TIMES=
	@$(BIN)/python -B -m tests.shake $(ONLY:%=--only %) $(TIMES:%=--times %)

.PHONY: chaos
chaos: $(VENV)/.dev ## Break real processes under load and judge by the nodes' histories; TIER=nightly for long
	@$(BIN)/python -B -m tests.chaos $(TIER:%=--tier %)

.PHONY: soak
soak: $(VENV)/.dev ## The same for 4 hours, round after round; adds up in docs/reliability.md; MINUTES=
	@$(BIN)/python -B -m tests.chaos.soak $(MINUTES:%=--minutes %)

.PHONY: cluster
cluster: $(VENV)/.dev ## Play day two through on a real control plane, as root, if its programs are in KUBE_BIN or on PATH
	@$(BIN)/python -B -m tests.cluster $(if $(WRITE),--write) $(ONLY:%=--only %)

.PHONY: patience
patience: $(VENV)/.dev ## Create groups on nodes that fail 0, 30, 50 and 70 % of their calls; how many commit, and when
	@$(BIN)/python -B -m tests.patience

.PHONY: mutants
mutants: $(VENV)/.dev ## Break the product on purpose in every way that is known, and see that each is caught; ONLY="words of names"
	@$(BIN)/python -B -m tests.mutants $(if $(ONLY),--only $(ONLY))

.PHONY: mutation
mutation: $(VENV)/.dev $(MUTATION)/.installed ## Try every small change of the core, and list those that no test notices; hours, can be resumed; ONLY=elsewhere, SAMPLE=, SEED=
	@$(BIN)/python -B -m tests.mutants.mutation $(ONLY:%=--only %) $(SAMPLE:%=--sample %) $(SEED:%=--seed %)

.PHONY: coverage
coverage: $(VENV)/.dev ## Branch coverage of unit, contract and simulation; what is left is listed in build/uncovered.txt
	@$(BIN)/python -B -m tests.coverage

.PHONY: simulate
simulate: $(VENV)/.dev ## Run the real steps on simulated time, with new schedules of faults until Ctrl-C; SEED=n
	@$(BIN)/python -B -m tests.simulation $(SEED)

.PHONY: simulation
simulation: $(VENV)/.dev ## The same, 3 million schedules in one recorded run, with the states seen; SCHEDULES=, SEED=
	@$(BIN)/python -B -m tests.simulation --schedules $(or $(SCHEDULES),3000000) $(SEED:%=--first %)

.PHONY: model
model: $(VENV)/.dev ## Check every interleaving of the protocol, the large configurations too
	@$(BIN)/python -B -m tests.model

.PHONY: linearize
linearize: $(VENV)/.dev ## Have many clients call the record at once, 20,000 calls, and check the answers against the twin; CALLS=
	@$(BIN)/python -B -m tests.contract.linearizable $(CALLS:%=--calls %)

.PHONY: fuzz
fuzz: $(VENV)/.dev ## Make up all that outsiders give, for 10 minutes: no traceback, no write, no hang; MINUTES=
	@$(BIN)/python -B -m tests.unit.fuzz $(MINUTES:%=--minutes %)

.PHONY: bench
bench: $(BENCH)/.installed ## Measure Lockstep beside its peers in one run of 25 minutes; QUICK=1, ONLY="a row", ROUNDS=
	@$(BENCH)/bin/python -B -m benchmarks $(if $(QUICK),--quick) $(ONLY:%=--only %) $(ROUNDS:%=--rounds %)

$(BENCH)/.installed: requirements-bench.txt pyproject.toml | $(BIN)/python
	@$(BIN)/python -m venv $(BENCH)
	@echo "Installing requirements-bench.txt"
	@$(BENCH)/bin/python -m pip --disable-pip-version-check --no-input -qq install --require-hashes -r requirements-bench.txt
	@$(BENCH)/bin/python -m pip --disable-pip-version-check --no-input -qq install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

.PHONY: format
format: $(VENV)/.dev ## Rewrite the code in its one layout, and mend what ruff can
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

##@ Ship

.PHONY: manifests
manifests: $(VENV)/.dev ## Render every overlay; check it against schemas and our rules, without a cluster
	@$(BIN)/python -B -m pytest -q tests/ship/manifests

.PHONY: helm
helm: $(VENV)/.dev ## Put Helm into the environment, for the tests of the chart, unless it is on PATH
	@$(BIN)/python -B -m tests.ship.helm

.PHONY: image
image: $(VENV)/.dev ## Build the image; run every role from it, non-root and read-only, in docker or podman; in docker all of docker-compose.yml too
	@$(BIN)/python -B -m tests.ship.image

.PHONY: audit
audit: $(VENV)/.dev $(RELEASE)/.installed ## Look every pinned package up among the known vulnerabilities; needs the internet
	@$(BIN)/python -B -m tests.ship.release audit

.PHONY: sbom
sbom: $(VENV)/.dev $(RELEASE)/.installed ## Write dist/lockstep.cdx.json: what a release is made of, in CycloneDX
	@$(BIN)/python -B -m tests.ship.release sbom

.PHONY: pin pinned
pin: $(VENV)/.dev ## Write the digest of each image of others beside its tag; needs the internet
	@$(BIN)/python -B -m tests.ship.release pin

pinned: $(VENV)/.dev ## Fail if an image is named by its tag alone
	@$(BIN)/python -B -m tests.ship.release pinned

.PHONY: release-check
release-check: $(VENV)/.dev $(RELEASE)/.installed ## Check all that a release needs; names what is wrong, and what could not be checked here
	@$(BIN)/python -B -m tests.ship.release_check

$(DOCS)/.installed $(MUTATION)/.installed $(RELEASE)/.installed: .venv-%/.installed: requirements-%.txt | $(BIN)/python
	@$(BIN)/python -m venv $(@D)
	@echo "Installing $<"
	@$(@D)/bin/python -m pip --disable-pip-version-check --no-input -qq install --require-hashes -r $<
	@touch $@

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

# Links of the repository, which an sdist cannot hold, nor a checkout where links are text files.
.PHONY: links
links:
	@for part in worker producer mock_api; do test -d lockstep/$$part || ln -sfn ../$$part lockstep/$$part; done
	@for part in base components; do \
	  test -d manifests/chart/files/$$part || ln -sfn ../../$$part manifests/chart/files/$$part; done

$(VENV)/.runtime: requirements.txt pyproject.toml | $(BIN)/python
	@$(MAKE) links
	@echo "Installing requirements.txt"
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@# pip compiles what it installs, but nothing that is editable.
	@$(BIN)/python -m compileall -q lockstep lockstep/worker lockstep/producer lockstep/mock_api
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	@echo "Installing requirements-dev.txt"
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

# The header that uv writes would repeat its command line, and with it the paths of whoever ran it.
COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
  --extra worker --extra flower --extra demo --extra secrets --group build --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.PHONY: lock
lock: $(VENV)/.dev ## Pin requirements*.txt anew from pyproject.toml; UPGRADE=1 takes newer releases
	$(COMPILE) $(if $(UPGRADE),--upgrade) --output-file requirements.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) --extra tracing --constraint requirements.txt --output-file requirements-tracing.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) --extra dev --extra tracing --constraint requirements-tracing.txt \
	  --output-file requirements-dev.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) benchmarks/requirements.in --constraint requirements.txt \
	  --output-file requirements-bench.txt
	$(BIN)/uv pip compile requirements-release.in --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) \
	  --output-file requirements-release.txt
	$(BIN)/uv pip compile requirements-mutation.in --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) \
	  --output-file requirements-mutation.txt
	$(BIN)/uv pip compile requirements-docs.in --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) \
	  --output-file requirements-docs.txt

##@ Clean

.PHONY: clean
clean: ## Remove the environment, caches and build results
	rm -rf $(VENV) $(BENCH) $(RELEASE) $(DOCS) $(MUTATION) .venv-lowest .venv-newest build dist *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
