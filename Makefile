# Everything runs from Python 3.11 and make alone. `make help` lists what there is.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Torch is wanted only where its work is: real weights to export, real models to score.
# EXTRAS=torch asks for it by hand.
EXTRAS ?= $(shell $(PYTHON) services/cli/testdata.py 2>/dev/null | grep -q . && echo torch)

# Many containers set it; then each of the hundreds of processes that tests start compiles every module.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup setup-torch demo quick test lint types imports buf baseline docs site check stubs lock gpu faults soak images scan clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

setup: $(BIN)/.base $(if $(findstring torch,$(EXTRAS)),$(BIN)/.torch) ## make .venv from the lock files

$(BIN)/.base: requirements/base.lock requirements/stubs.txt pyproject.toml protos/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	    { echo "Python 3.11, 3.12 or 3.13 is needed; $(PYTHON) is $$($(PYTHON) -V). Set PYTHON=..."; exit 1; }
	@echo "setup: creating .venv and installing what the services need (about a minute)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/base.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r requirements/stubs.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e protos -e .
	@touch $@

setup-torch: $(BIN)/.torch ## add torch, transformers and Ray, to export and to score Hugging Face models

$(BIN)/.torch: requirements/torch.lock $(BIN)/.base
	@echo "setup: adding torch and Ray for exporting and scoring (a minute or two)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/torch.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	@touch $@

demo: setup ## start the three services, measure, and show the comparison
	@$(BIN)/assay demo

quick: setup ## run the tests that stay in one process and take moments
	@$(BIN)/python -m pytest -m quick

test: setup ## run every test
	@$(BIN)/python -m pytest

lint: setup ## ruff: style and likely mistakes
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup ## mypy, strict
	@$(BIN)/mypy services protos/assay_rpc docs benchmarks examples tests

imports: setup ## the dependency rule
	@$(BIN)/lint-imports

buf: setup ## lint the contract; compare it with the released one
	@cd protos && ../$(BIN)/buf lint && ../$(BIN)/buf breaking --against baseline.binpb

baseline: setup ## for a release: make the contract the one that later ones are compared with
	@cd protos && ../$(BIN)/buf build --exclude-source-info -o baseline.binpb

docs: setup ## every command, variable and target that the documents name exists
	@$(BIN)/python -m pytest tests/docs

site: setup requirements/docs.lock ## the documentation as a site in build/site; warnings are errors
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/docs.lock
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

check: lint types imports buf test ## all of it, as CI does

stubs: setup ## regenerate the stubs from the protos
	@protos/generate.sh

lock: setup ## rewrite the lock files from pyproject.toml
	@$(BIN)/pip install --quiet --disable-pip-version-check uv
	@requirements/lock.sh

# Without setup: that machine has what was carried there, and perhaps no index.
gpu: ## measure the segmenters on this machine's GPU, equality first; exits with 3 where there is none
	@$(BIN)/python -m benchmarks.segment.gpu

faults: setup ## the services under attack and through faults; writes docs/faults.md
	@$(BIN)/python -m benchmarks.faults

SECONDS ?= 600
soak: setup ## load with random faults on all services, for SECONDS (600)
	@$(BIN)/python -m benchmarks.faults.soak --seconds $(SECONDS)

BASE ?=
SECRETS ?=
images: setup ## build the images with docker or buildah and try each; BASE=IMAGE@sha256:... SECRETS="pip=FILE"
	@$(BIN)/python -m benchmarks.images --base "$(BASE)" $(SECRETS:%=--secret %)

scan: setup ## look every locked package up in an index of advisories; wants the network
	@$(BIN)/pip install --quiet --disable-pip-version-check pip-audit
	@for lock in requirements/*.lock; do \
	    echo "$$lock"; $(BIN)/pip-audit --strict --requirement $$lock --disable-pip --progress-spinner off || exit 1; done

clean: ## remove what make made
	@rm -rf .venv build dist *.egg-info protos/build protos/*.egg-info
