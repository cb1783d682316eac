# The commands that people and CI share. Everything is installed into .venv from pyproject.toml alone.
PYTHON ?= python3.11
BIN := .venv/bin
INSTALLED := .venv/.installed
# One thread a process: two busy cores with four threads each are 30 times slower.
export OMP_NUM_THREADS ?= 1
# Processes that tests run in, and which tests `make test` runs: fast ones are unmarked, the others `slow`, `ray`, `full`.
WORKERS ?= 2
MARKERS ?= not full
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

.PHONY: quickstart install check test format benchmark clean

quickstart: $(INSTALLED)  ## the main job: a sweep over a tiny video model, from nothing to a winner
	$(BIN)/posttrain sweep sweeps/quickstart.yaml

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed --editable ".[dev]"
	touch $@

check: $(INSTALLED)  ## format, lint, types, layers, and the fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -m "not slow and not ray and not full" --timeout 20

test: $(INSTALLED)  ## all tests but the full matrix of generations
	$(PYTEST) -m "$(MARKERS)"

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

benchmark: $(INSTALLED)
	$(BIN)/python benchmarks/slot_switch.py
	$(BIN)/python benchmarks/mixture.py
	$(BIN)/python benchmarks/encode_once.py
	$(BIN)/python benchmarks/curation.py

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build dist
