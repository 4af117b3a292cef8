# Everything from a fresh clone. Each target makes the virtual environment .venv as far as it needs it.
#
#   make demo      compile a network, run it, compare it with float Nengo (pip packages only)
#   make test      everything that the tests need, then lint, types and the whole suite
#   make bench     speed against nengo.Simulator; BENCH=--quick takes half a minute
#   make accuracy  errors of float and fixed point against the ideal signals
#   make conformance  Nengo's own backend suite, and where its work was done
#   make lint      formatting, lint and types

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
JOBS ?= $(shell nproc)
# Tests take these paths and options; for example  make test TESTS=tests/compiler
TESTS ?= tests

# libpython3.11: cocotb; perl: Verilator's script; g++, make, ccache: Verilator's C++;
# fpga-icestorm: reading bitstreams back; openfpgaloader: programming boards.
APT := libpython3.11 g++ make perl ccache zlib1g-dev fpga-icestorm openfpgaloader

# Verilator's makefiles call plain `python`, which a bare Debian does not have.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test bench accuracy conformance lint clean
.DELETE_ON_ERROR:

demo: $(VENV)/demo.stamp
	$(RUN) examples/demo.py

bench: $(VENV)/demo.stamp
	$(RUN) tests/benchmarks/bench.py $(BENCH)

accuracy: $(VENV)/demo.stamp
	$(RUN) tests/benchmarks/accuracy.py

conformance: $(VENV)/test.stamp
	$(RUN) tests/conformance/run.py -n $(JOBS)

lint: $(VENV)/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: $(VENV)/test.stamp $(VENV)/hardware.stamp $(VENV)/dl.stamp lint
	$(RUN) -m pytest -n $(JOBS) --dist worksteal $(TESTS)

# The virtual environment with Spikeloom itself, editable. .venv/tree lets mypy see the root as the
# package spikeloom, whatever the folder of the checkout is called.
$(VENV)/core.stamp: pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python found; install it: apt-get install python3.11-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is too old; give a newer one: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' \
	  || { echo "$(PYTHON) cannot make environments; as root: apt-get install python3-venv"; exit 1; }
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -e .
	mkdir -p $(VENV)/tree && ln -sfn ../.. $(VENV)/tree/spikeloom
	touch $@

# The native engine needs a C compiler: the system's, or Zig's from PyPI where there is none. Where
# there is a C++ compiler, the demo also simulates the hardware.
$(VENV)/demo.stamp: $(VENV)/core.stamp
	command -v cc >/dev/null || $(RUN) -m pip install --quiet --disable-pip-version-check -e '.[zig]'
	! command -v c++ >/dev/null || $(RUN) -m pip install --quiet --disable-pip-version-check -e '.[rtl]'
	touch $@

$(VENV)/test.stamp: $(VENV)/demo.stamp
	$(RUN) -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

$(VENV)/hardware.stamp: $(VENV)/apt.stamp
	$(RUN) -m pip install --quiet --disable-pip-version-check -e '.[hardware]'
	touch $@

# TensorFlow and NengoDL: the largest, and the last.
$(VENV)/dl.stamp: $(VENV)/hardware.stamp
	$(RUN) -m pip install --quiet --disable-pip-version-check -e '.[dl]'
	touch $@

$(VENV)/apt.stamp: $(VENV)/test.stamp
	@missing=; for p in $(APT); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then \
	    echo "installing$$missing"; \
	    apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing >/dev/null; \
	  else \
	    echo "missing system packages; as root: apt-get install -y --no-install-recommends$$missing"; \
	    exit 1; \
	  fi; \
	fi
	touch $@

clean:
	rm -rf $(VENV) build dist out *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
