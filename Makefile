# make demo   a synthetic study is made, segmented and drawn
# make test   every test; one of them: make test WORKERS=0 ARGS=Testing/cli/test_demo.py
# make check  ruff and mypy
# make mutants  small faults put into the code: how many the tests notice; hours, and can be ended at any time

VENV ?= .venv
WORKERS ?= logical
BIN := $(VENV)/bin

# A version manager may offer a python3.12 that does not run: the first that really runs is taken.
PYTHON ?= $(shell for python in python3 python3.12 python3.11 python3.10; do \
	$$python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null \
	&& echo $$python && break; done)

# Real cases and label maps lie beside the checkout on some machines; tests that need them skip elsewhere.
ifneq ($(wildcard ../shared/cases),)
export MAGPIE_CASES ?= $(abspath ../shared/cases)
endif
ifneq ($(wildcard ../shared/anatomy),)
export MAGPIE_ANATOMY ?= $(abspath ../shared/anatomy)
endif

ifneq ($(wildcard ../shared/desktop-slicer/desktop_slicer.py),)
export MAGPIE_DESKTOP_SLICER ?= $(abspath ../shared/desktop-slicer)
endif

.PHONY: demo test check mutants clean
.DELETE_ON_ERROR:

demo: $(VENV)/.ready
	$(BIN)/magpie demo -o magpie-demo --overwrite

test: $(VENV)/.ready-dev $(VENV)/.tried-nnunet
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal $(ARGS)

check: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/mypy

mutants: $(VENV)/.ready-dev
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[mutation]'
	$(BIN)/python benchmarks/mutants.py $(ARGS)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.10, 3.11 or 3.12 was not found. Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "No virtual environment could be made; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

# Each stamp is newer than what it was installed from, so that a changed pyproject.toml installs again.
$(VENV)/.ready: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[torch,dicom]'
	@touch $@

$(VENV)/.ready-dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.ready

# Tests that need it skip where it cannot be made.
$(VENV)/.tried-nnunet: $(VENV)/.ready-dev Testing/cohort/nnunet_environment.py
	$(BIN)/python Testing/cohort/nnunet_environment.py || echo "No environment for nnU-Net could be made." >&2
	@touch $@

clean:
	rm -rf $(VENV) magpie-demo build dist .pytest_cache .mypy_cache .ruff_cache
