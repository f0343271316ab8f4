# Each target sets itself up: a fresh machine needs git, make, and Python >= 3.11 with venv.
# Nothing is installed outside .venv.

PYTHON ?= python3
BIN := .venv/bin
# Whether a Python runs, and is new enough.
IS_NEW = $(shell $(1) -c 'import sys; print("yes" if sys.version_info >= (3, 11) else "")' 2>/dev/null)
PIP := $(BIN)/pip --disable-pip-version-check install -q -c constraints.txt
PAGES = README.md $(shell find docs -name "*.md" | sort)

# Compiled modules are kept, whatever the environment says: the tests start clusterplan more than a thousand times.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo demo-loop test test-slow coverage lint format docs docs-pages pictures wheel bench accuracy gpu slurm-up slurm-down clean

## The main job on real input: the question that started clusterplan, with the GPU counts side by side.
demo: .venv/installed
	@$(BIN)/python examples/demo.py

## The whole loop on a job that nobody has measured: estimate, calibrate, submit, resume, report; on Slurm if there is one,
## else on this machine, in less than 3 minutes.
demo-loop: .venv/installed
	@$(BIN)/python examples/demo_loop.py

# Three processes for two cores: the one with the test Slurm waits most of its time.
test: .venv/installed-dev
	$(BIN)/pytest -n 3

## Exhaustive fuzzing, wide random comparisons with the slow reference, more kills at random moments, real time limits on the
## test Slurm, and commands over damaged files.
test-slow: .venv/installed-dev
	CLUSTERPLAN_TEST_SCALE=50 $(BIN)/pytest -n 2 tests/test_steps.py tests/test_stated_lengths.py tests/test_fuzz.py tests/test_walltime.py tests/test_spool.py tests/test_history.py
	$(BIN)/pytest -m slow tests
	$(BIN)/python benchmarks/faults.py --cases 1000 --seconds 480 --runs 60

## Which lines and branches the tests reach; fails below the floor in pyproject.toml.
coverage: .venv/installed-dev
	$(BIN)/pytest -n 2 --cov --cov-report=term

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/cog --check --diff -I docs $(PAGES)

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

## Write the generated reference pages, then build the site into site/, which opens by double click too.
docs: docs-pages
	$(PIP) -e .[docs]
	$(BIN)/zensical build --strict --clean
	CLUSTERPLAN_SITE=site $(BIN)/pytest -q tests/test_site.py
	@echo "the site is in site/index.html"

## Draw the pictures of README and pages from what the commands answer.
pictures: .venv/installed-dev
	$(BIN)/python docs/draw_pictures.py

docs-pages: .venv/installed-dev
	$(BIN)/cog -r -I docs $(PAGES)

## Build the wheel, install it into a bare environment, and run there what packaging can break: every command and
## its data files, the examples, real jobs.  Calculations are the same from both.
IN_WHEEL = packaging docs profiles discovery cli_estimate history many_runs report sampler submit
wheel: .venv/installed-dev
	rm -rf build dist .venv-wheel
	$(BIN)/python -m build -q
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/pip --disable-pip-version-check install -q -c constraints.txt dist/*.whl
	cd / && $(CURDIR)/.venv-wheel/bin/clusterplan --help > /dev/null
	.venv-wheel/bin/pip --disable-pip-version-check install -q -c constraints.txt pytest pytest-xdist hypothesis
	.venv-wheel/bin/pytest -n 2 $(IN_WHEEL:%=tests/test_%.py)

## Scripts of torch, Hugging Face Trainer and Lightning through `clusterplan submit`; torch is large, so a place of its own.
frameworks: .venv-frameworks/installed
	.venv-frameworks/bin/pytest tests/frameworks tests/test_page_blocks.py tests/test_gpu_report.py tests/test_mixed_precision.py tests/test_used_precision.py

bench: .venv/installed-dev
	$(BIN)/python benchmarks/cold_start.py
	$(BIN)/python benchmarks/model_cost.py
	$(BIN)/python benchmarks/sampler_cost.py
	$(BIN)/python benchmarks/history_scale.py
	$(BIN)/python benchmarks/faults.py --only kills --runs 100
	$(BIN)/python benchmarks/tracker_cost.py
	$(BIN)/python benchmarks/submit_cost.py
	$(BIN)/python benchmarks/start_forecast.py
	$(BIN)/python benchmarks/eta.py

## Score the step-time model on published runs, and write docs/explanation/accuracy.md: make accuracy DATA=FOLDER
accuracy: .venv/installed
	$(BIN)/python benchmarks/accuracy.py $(DATA) --page docs/explanation/accuracy.md

## Measure on one NVIDIA GPU, in 8 minutes at most, what clusterplan says without one, and print a page in Markdown.
## It runs from a plain checkout, without .venv or network, in an environment with clusterplan's dependencies and torch:
## make gpu PYTHON=python.
gpu:
	@$(PYTHON) tests/gpu/report.py

## A Slurm of five nodes with 8 fake GPUs each on this machine, to try things by hand; it needs root,
## and Debian's slurm-wlm and munge.
slurm-up:
	@$(PYTHON) tests/slurm_cluster.py up

slurm-down:
	@$(PYTHON) tests/slurm_cluster.py down

clean:
	rm -rf .venv .venv-wheel .venv-frameworks build dist site *.egg-info .coverage*

# An environment that is broken, or of a Python that is too old, is made anew.
.venv/installed: pyproject.toml constraints.txt $(if $(call IS_NEW,$(BIN)/python),,mend)
	$(PIP) -e .
	@touch $@

.venv/installed-dev: .venv/installed
	$(PIP) -e .[dev]
	@touch $@

.PHONY: mend
mend:
ifeq ($(call IS_NEW,$(PYTHON)),)
	$(error PYTHON=$(PYTHON) is $(or $(shell $(PYTHON) --version 2>/dev/null),not there); clusterplan needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.11)
endif
	rm -rf .venv
	$(PYTHON) -m venv .venv

.venv-frameworks/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-frameworks
	.venv-frameworks/bin/pip --disable-pip-version-check install -q -c constraints.txt -e .[frameworks]
	@touch $@
