# Everything here works from a fresh clone with Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One pip command with the constraints: see constraints.txt for what goes wrong otherwise. An older pip takes three times as long, and
# compiling every file of every library as long again.
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt
NEW_PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25'
export ALAAS_HOME ?= $(abspath .alaas)

.DEFAULT_GOAL := help
.PHONY: help demo demo-clean test faults clients mutants ui check format install clean

help: ## Show what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/.demo: pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(NEW_PIP)
	@$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(NEW_PIP)
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.demo

install: $(VENV)/.demo ## Install what demo and UI need

demo: $(VENV)/.demo ## Run two rounds of the label loop on real photographs; again for the next two
	@$(BIN)/alaas-pipeline demo

demo-clean: ## Forget the demo: all state under ALAAS_HOME
	rm -rf "$(ALAAS_HOME)"

ui: $(VENV)/.demo ## Open the Dagster UI, with the local sandbox beside it
	@$(BIN)/alaas-pipeline ui

# One more process than there are cores, since many tests wait for a server; and one thread for each of them.
WORKERS = $(shell $(PYTHON) -c 'import os; print(os.cpu_count() + 1)')
test: export OPENBLAS_NUM_THREADS = 1
test: export OMP_NUM_THREADS = 1
test: $(VENV)/.dev ## Run the tests
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not faults and not clients"

faults: export OPENBLAS_NUM_THREADS = 1
faults: export OMP_NUM_THREADS = 1
faults: $(VENV)/.dev ## Kill it anywhere, lie to it, load it: the long sweeps
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m faults

clients: $(VENV)/.dev ## The official client uploads through a private CA
	@$(BIN)/python -m pytest -m clients

mutants: $(VENV)/.dev ## Break one guard at a time in a copy, and see the tests fail
	@$(BIN)/python -m alaas_pipeline_tests.mutants

check: $(VENV)/.dev ## Format, lint and type checks, changing nothing
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright

format: $(VENV)/.dev ## Format the code and mend what can be mended
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
