PYTHON ?= python3
RUN := .venv/bin/python
.DEFAULT_GOAL := help

# Show what can be made
.PHONY: help
help:
	@awk '/^# /{text=substr($$0,3)} /^[a-z][a-z-]*:/{sub(":.*",""); printf "make %-10s %s\n", $$0, text}' Makefile

# Run four PyFlink jobs from submission to their true end on the local stack
.PHONY: demo
demo: env-flink
	@$(RUN) -m local.demo

# Keep the local stack running until Ctrl-C, and print its addresses
.PHONY: up
up: env-flink
	@$(RUN) -m local.up

# Run every check: formatting, lint, types, layers and all tests
.PHONY: test
test: env-flink lint
	$(RUN) -m pytest -n 2 --dist loadfile

# Try ever new random histories of the world for SECONDS (600), and stop at a wrong status
.PHONY: soak
soak: env
	$(RUN) -m tests.property.soak --seconds $(or $(SECONDS),600)

# Check formatting, lint and types, without running tests
.PHONY: lint
lint: env
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy

# Make .venv, once: the pinned tools and this project; needs only python3 (3.11 or newer)
.PHONY: env
env:
	@$(PYTHON) -m local.prepare env

# Make .venv-flink, once: Flink 1.20, PyFlink and Java for the local stack
.PHONY: env-flink
env-flink: env
	@$(RUN) -m local.prepare flink

# Compile the pinned requirements, with hashes, for every platform
.PHONY: lock
PIN := .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header
lock: env
	$(PIN) --python-version 3.11 --extra dev pyproject.toml requirements/build.in --output-file requirements/dev.txt
	for name in submit sync cleanup; do \
	  $(PIN) --python-version 3.11 --extra $$name pyproject.toml --output-file functions/$$name/requirements.txt; \
	done
	$(PIN) --python-version 3.9 local/flink/requirements.in --output-file local/flink/requirements.txt

# Remove what the targets above made
.PHONY: clean
clean:
	rm -rf .venv .venv-flink .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
