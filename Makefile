# megatron_proxy: the commands of the README. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

VENV ?= .venv
# A .python-version file makes `python3` be 3.12 where pyenv is used; elsewhere python3.12 is looked for by name.
PYTHON ?= $(shell command -v python3.12 >/dev/null 2>&1 && python3.12 -c '' 2>/dev/null && echo python3.12 || echo python3)
BIN := $(VENV)/bin
REQUIREMENTS := $(shell (cat requirements.txt pyproject.toml; $(PYTHON) --version) 2>/dev/null | sha256sum | cut -c1-16)
READY := $(VENV)/ready-$(REQUIREMENTS)

INPUT ?=
PREFIX ?=
COMPRESSOR ?= zstd
WORKERS ?= 2
MEGATRON_LM ?=
VERSIONS ?=
ARGS ?=

# Images of containers often set it. The tests start some hundreds of processes, and each would compile this package anew:
# a third of their time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup preprocess patch demo test test-fast check fix bench bench-quick faults fuzz coverage wheels transformers docs \
  errors gpu gpu-wheels gpu-data clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(READY) ## make the virtual environment with everything in it
	@test "$$(cat $(VENV)/installed-from 2>/dev/null)" = "$(CURDIR)" || { \
	  $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable . && \
	  echo "$(CURDIR)" > $(VENV)/installed-from; }

$(READY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || { \
	  echo "megatron-core 0.17 and later need Python 3.12: set PYTHON=/path/to/python3.12"; exit 1; }
	@echo "into $(VENV): torch with CUDA's libraries, megatron-core, ray, transformers and the tools of the tests, about 3 GB to"
	@echo "fetch and 7 GB on disk; some 3 minutes with a quick network, most of them for torch. Data alone: pip install ."
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet 'setuptools>=77'
	$(BIN)/python -m pip install --no-build-isolation --editable '.[dev]'
	@echo "$(CURDIR)" > $(VENV)/installed-from
	@touch $@

preprocess: setup ## prepare a corpus: INPUT=corpus.jsonl PREFIX=data/corpus [COMPRESSOR=zstd] [WORKERS=2] [ARGS=…]
	@test -n "$(INPUT)" -a -n "$(PREFIX)" || { echo "usage: make preprocess INPUT=corpus.jsonl PREFIX=data/corpus"; exit 2; }
	$(BIN)/megatron-proxy prepare --input $(INPUT) --output-prefix $(PREFIX) --compressor $(COMPRESSOR) --workers $(WORKERS) $(ARGS)

patch: setup ## add the import line to a Megatron-LM checkout: MEGATRON_LM=/path [ARGS=--undo]
	@test -n "$(MEGATRON_LM)" || { echo "usage: make patch MEGATRON_LM=/path/to/Megatron-LM"; exit 2; }
	$(BIN)/megatron-proxy patch $(MEGATRON_LM) $(ARGS)

demo: setup ## corpus, prepare, pretrain, evaluate, generate on this machine's CPU, in ten minutes
	$(BIN)/python examples/demo.py $(ARGS)

# A file's tests share what it has trained, so that files are handed out whole, in their order: the long ones come first.
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test: setup ## run the tests, on two cores: WORKERS=2
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

test-fast: setup ## those that neither start Megatron nor take a quarter of a second of a core
	$(BIN)/python -m pytest $(PARALLEL) -m 'not megatron and not long and not slow' --durations=5 --durations-min=0.5 $(ARGS)

faults: setup ## inject faults, the long way: kills, full disks, flipped bits; prints the counts
	FAULTS=long $(BIN)/python -m pytest tests/faults $(ARGS)

fuzz: setup ## inputs that nobody meant, thirty times as many as with all tests, and new ones; prints the counts
	FUZZ=long $(BIN)/python -m pytest tests/fuzz $(ARGS)

wheels: setup ## training tests against other megatron-core wheels: VERSIONS="0.18.2 0.19.2"
	PYTHON=$(BIN)/python tests/wheels.sh $(VERSIONS)

transformers: setup ## exports with the oldest and the newest transformers: VERSIONS="4.50.0 newest"
	PYTHON=$(BIN)/python tests/transformers.sh $(VERSIONS)

COVERED := tests/test_*.py $(addprefix tests/,commands common compressors data fuzz tools/inspection) \
  tests/tools/test_estimate.py tests/tools/test_patching.py tests/adaptor/test_tokenizer.py

coverage: setup ## coverage of the rooms below the adaptor, by the quick tests; fails under 95 %
	rm -rf build/coverage
	COVERAGE_CORE=sysmon $(BIN)/python -m pytest -q -m 'not megatron' --cov \
	  --cov-report=term-missing:skip-covered $(COVERED) $(ARGS)

bench: setup ## benchmarks beside their peers, with goals; results in build/bench/results.json [MEGATRON_LM=/path]
	MEGATRON_LM=$(MEGATRON_LM) $(BIN)/python tests/bench/bench.py $(ARGS)

bench-quick: setup ## the same, smaller, within three minutes
	MEGATRON_LM=$(MEGATRON_LM) $(BIN)/python tests/bench/bench.py --quick $(ARGS)

gpu: ## prove the GPU path: one GPU, 8 minutes, no network; by python3, which has torch [ARGS="--cpu"]
	tests/gpu/run.sh $(ARGS)

# For the Python and the processor of most GPU machines, in the versions that the tests run with.
MANYLINUX := _2_28_x86_64 _2_27_x86_64 _2_17_x86_64 2014_x86_64 1_x86_64

gpu-wheels: setup ## what `make gpu` needs beside torch, numpy, numba and transformers, into build/gpu/wheels (14 MB)
	rm -rf build/gpu/wheels && mkdir -p build/gpu
	$(BIN)/python -m pip freeze --exclude-editable > build/gpu/constraints.txt
	$(BIN)/python -m pip download --quiet --no-deps --only-binary :all: --implementation cp --python-version 3.12 \
	  $(addprefix --platform manylinux,$(MANYLINUX)) --constraint build/gpu/constraints.txt \
	  --dest build/gpu/wheels --requirement tests/gpu/wheels.txt

gpu-data: setup ## the data of `make gpu`, and the CPU's losses in float32, into build/gpu/data (under 30 MB)
	$(BIN)/python tests/gpu/data.py

check: setup ## lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: setup ## repair what lint and formatting can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## rewrite the pages and figures that are made from the code
	$(BIN)/python docs/make_reference.py
	$(BIN)/python docs/make_figures.py
	$(BIN)/python examples/evidence page

errors: setup ## run all tests, or ARGS=FILE, note which error messages they produce, list those that none does
	@mkdir -p build && rm -f build/errors.jsonl
	MEGATRON_PROXY_ERRORS_SEEN=$(CURDIR)/build/errors.jsonl PYTHONPATH=$(CURDIR)/tests/helpers/recording \
	  $(BIN)/python -m pytest $(PARALLEL) --run-slow $(ARGS)
	$(BIN)/python tests/docs/make_errors.py $(if $(ARGS),--keep) build/errors.jsonl

clean: ## remove what the other targets made, except the virtual environment
	rm -rf build .pytest_cache .hypothesis .ruff_cache .mypy_cache
