# The commands that people and CI share. Everything is installed into .venv, in the versions of versions.lock.
# The first Python that is 3.11, 3.12 or 3.13; `make PYTHON=... install` takes another.
PYTHON ?= $(firstword $(foreach name,python3.11 python3 python3.12 python3.13,$(shell $(call SUITS,$(name)) && echo $(name))))
SUITS = $(1) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
BIN := .venv/bin
INSTALLED := .venv/.installed
# One thread a process: two busy cores with four threads each are 30 times slower.
export OMP_NUM_THREADS ?= 1
# Processes that tests run in, and which tests `make test` runs: fast ones are unmarked, the others `slow`, `ray`, `full`.
WORKERS ?= 2
MARKERS ?= not full
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

.PHONY: quickstart install check test lock resolve format benchmark clean

quickstart: $(INSTALLED)  ## the main job: a sweep over a tiny video model, from nothing to a winner
	$(BIN)/posttrain sweep sweeps/quickstart.yaml

install: $(INSTALLED)

$(INSTALLED): pyproject.toml versions.lock
	@$(call SUITS,$(PYTHON)) || { echo "error: posttrain needs Python 3.11, 3.12 or 3.13, found '$(PYTHON)'; install one" \
	  "of them, or name it: make install PYTHON=/path/to/python3.12" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --constraint versions.lock pip setuptools --editable ".[dev]"
	@echo "compiling the libraries on all cores: pip does it on one"
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true # some libraries ship files that no Python 3 reads
	touch $@

check: $(INSTALLED)  ## format, lint, types, layers, and the fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -m "not slow and not ray and not full" --timeout 60 -o timeout_func_only=true

test: $(INSTALLED)  ## all tests but the full matrix of generations
	$(PYTEST) -m "$(MARKERS)"

lock: $(INSTALLED)  ## write versions.lock from what is installed; tools/lock.py says how to take newer releases
	$(BIN)/python tools/lock.py
	touch $(INSTALLED)

resolve: $(INSTALLED)  ## whether versions.lock resolves to wheels for the Pythons that the tests do not run on
	$(BIN)/python tools/resolve.py

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
