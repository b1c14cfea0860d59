# Sightline: `make demo` shows it, `make test` tests it; both make their own environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
# The shared part of a run, so that `make test ARGS='-k hook'` works.
ARGS ?=

.PHONY: demo test check bench train-check test-train conformance clean

demo: $(VENV)/.installed
	@$(BIN)/sightline demo --port $(PORT)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Sightline needs Python 3.11 or newer: try make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "Python's venv module is missing (Debian: apt-get install python3-venv)"; exit 1; }

# What the image viewer is built from; the install builds it when one of them is newer.
VIEWER := hatch_build.py $(filter-out %/node_modules,$(wildcard smart_app/frontend/* smart_app/frontend/src/*))

$(VENV)/.installed: pyproject.toml $(VIEWER) | $(VENV)/bin/python
	@echo "Installing Sightline into $(VENV) (about a minute the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

# Needs the extra [train]: PyTorch. Fails if learning is broken; a minute.
train-check: $(VENV)/.dev
	$(BIN)/python -m models.cxr_pneumonia_peds.train.check --data ../shared/data/kermany-train

# Needs PyTorch, which it installs when it is missing: conversions of other projects' models.
test-train: $(VENV)/.dev
	$(BIN)/python -c 'import onnxscript, torch, torchxrayvision' 2>/dev/null \
	  || $(BIN)/python -m pip install --quiet --editable '.[train]' torchxrayvision
	$(BIN)/python -m pytest -W ignore tests/train

# Writes docs/reference/conformance-cds-hooks.md from the names of the tests.
conformance: $(VENV)/.dev
	$(BIN)/python -m tests.conformance

clean:
	rm -rf $(VENV) build dist
