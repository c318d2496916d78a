# `make demo` and `make test` need Python 3.11 to 3.13 and a package index; everything else they install themselves, into .venv.

.DEFAULT_GOAL := help
PYTHON ?=
RUN := .venv/bin/python
INSTALLED := .venv/.installed
STALLS := Testing/MRITranslate/test_stalls.py
HOST := $(RUN) -m Testing.host --no-main-window --testing --no-splash --additional-module-paths MRITranslate

.PHONY: help demo test lint docs bench hooks screenshots figures install clean

help:
	@echo "make demo        a phantom patient through the module: scores, demo-output/figure.png, demo-output/scene.mrb"
	@echo "make test        format, lint, types, layers, documentation and all tests, with coverage"
	@echo "make lint        format, lint, types and layers"
	@echo "make docs        the documentation as a site: build/site/index.html"
	@echo "make bench       all benchmarks; writes their tables into docs/benchmarks.md"
	@echo "make hooks       check every commit before it is made: pre-commit"
	@echo "make screenshots the pictures of docs/tutorial.md and the README: a tour of the panel by clicks"
	@echo "make figures     the pictures of docs/explaining.md, generating.md and evaluating.md"
	@echo "make clean       remove .venv and everything the commands wrote"
	@echo "PYTHON=/path/to/python3.12 chooses the interpreter (3.11 to 3.13)."

$(INSTALLED): pyproject.toml .ci/install
	@PYTHON="$(PYTHON)" sh .ci/install
	@touch $@

install: $(INSTALLED)

demo: $(INSTALLED)
	@$(HOST) --python-script Testing/demo.py -- demo-output

lint: $(INSTALLED)
	@echo "ruff format";  $(RUN) -m ruff format --check --quiet . || { echo "Not formatted: run $(RUN) -m ruff format ."; exit 1; }
	@echo "ruff check";   $(RUN) -m ruff check --quiet .
	@echo "mypy";         $(RUN) -m mypy --no-error-summary
	@echo "import layers"; .venv/bin/lint-imports --no-logo

# Strict: a broken link or anchor, a page outside the navigation and a docstring that cannot be found are errors.
docs: $(INSTALLED)
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

# How long the event loop stands still is measured alone: beside another worker it tells of that one. Then two workers on
# two cores, one thread each: torch's own threads would only fight. These count which lines of the engine and of the
# training they reach, and fail under the share that pyproject.toml names.
test: lint docs
	@OMP_NUM_THREADS=1 $(RUN) -m pytest $(STALLS)
	@OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses 2 --dist loadfile --ignore $(STALLS) --cov --cov-report term:skip-covered

bench: $(INSTALLED)
	@$(RUN) -m Testing.benchmarks all --docs

# Git runs what `make lint` checks, and a little more, on the files of each commit.
hooks: $(INSTALLED)
	@.venv/bin/pre-commit install

screenshots: $(INSTALLED)
	@.venv/bin/mritranslate phantom --seed 7 --lesions 3 --shape 96 160 160 --output demo-output/phantom
	@$(RUN) -m Testing.host --additional-module-paths MRITranslate --screenshot docs/images/panel.png \
		--volume demo-output/phantom/t1.nii.gz --model t1_to_t2 --run
	@$(RUN) -m Testing.host --testing --additional-module-paths MRITranslate --python-script Testing/tour.py -- docs/images

figures: $(INSTALLED)
	@$(RUN) -m Testing.figures

clean:
	rm -rf .venv demo-output benchmark-output build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
