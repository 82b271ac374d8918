PYTHON ?= python3
RUN := .venv/bin/python
.DEFAULT_GOAL := help

# Show what can be made
.PHONY: help
help:
	@awk '/^# /{text=substr($$0,3)} /^[a-z][a-z0-9-]*:/{sub(":.*",""); printf "make %-14s %s\n", $$0, text}' Makefile

# Run four PyFlink jobs from submission to their final status on the local stack; FLINK=2: on the newest Flink 2
.PHONY: demo
demo: env-flink
	@$(RUN) -m local.demo

# Keep the local stack running until Ctrl-C, and print its addresses; FLINK=2 as above
.PHONY: up
up: env-flink
	@$(RUN) -m local.up

# Check formatting, lint, types and layers; run unit and fast integration tests; under three minutes
.PHONY: check
check: lint
	$(RUN) -m pytest tests/unit tests/integration -m "not slow" -n 3 --dist loadfile

# Run every check: formatting, lint, types, layers and all tests (one needs Debian's nginx-light)
.PHONY: test
test: env-flink lint
	$(RUN) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# Run the tests with a real Flink alone, those of the whole stack and of its parts; FLINK=2: on the newest Flink 2
.PHONY: test-e2e
test-e2e: env-flink
	$(RUN) -m pytest tests/e2e tests/integration/local/test_flink.py tests/integration/submit/test_arguments.py \
	  -n 2 --dist loadfile

# Measure which lines and branches the unit tests run; fails below the floor of pyproject.toml
.PHONY: coverage
coverage: env
	.venv/bin/coverage run -m pytest tests/unit
	.venv/bin/coverage report

# Test the page in the system's Chromium (Debian's packages chromium and nginx-light); pictures go to build/screenshots
.PHONY: test-browser
test-browser: env-flink
	$(RUN) -m pytest tests/browser -n 2 --dist loadfile

# Follow README and tutorial on a fresh clone, as a new user does, then run the commit hooks there
.PHONY: test-clone
test-clone: env
	$(RUN) -m tests.e2e.fresh_clone

# Try ever new random histories of the world for SECONDS (600), and stop at a wrong status
.PHONY: soak
soak: env
	$(RUN) -m tests.integration.property.soak --seconds $(or $(SECONDS),600)

# Measure a pass against polling and against a minimal program; results in build/bench; about twenty minutes
.PHONY: bench
bench: env
	$(RUN) -m bench

# Publish the results of the last `make bench`: bench/results.json, and the costs in the documentation
.PHONY: bench-publish
bench-publish: env
	cp build/bench/results.json bench/results.json
	$(RUN) -m deploy.costs --write

# Print what a month costs on Google Cloud, with direct egress and with a connector
.PHONY: costs
costs: env
	@$(RUN) -m deploy.costs

# Check formatting, lint, types, layers, the page's scripts, workflows and generated texts, without running tests
.PHONY: lint
lint: env
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/oxlint --deny-warnings shared/flinkjobs/web/ui
	.venv/bin/jactionlint --shellcheck= --pyflakes= --strict-exit
	$(RUN) -m deploy.reasons --check
	$(RUN) -m deploy.openapi --check

# Write the texts of the reason codes, and doctor's next steps, to the page's messages and the docs
.PHONY: reasons
reasons: env
	@$(RUN) -m deploy.reasons
	@$(RUN) -m deploy.openapi

# Build the site of the documentation in build/docs; a dead link or a warning fails it
.PHONY: docs
docs: env
	@$(RUN) -m deploy.site

# Make .venv, once: the pinned tools and this project; needs only python3 (3.11 or newer)
.PHONY: env
env:
	@$(PYTHON) -m local.environments env

# Make .venv-flink, once: Flink 1.20, PyFlink and Java for the local stack; FLINK=2: .venv-flink2, with Flink 2
.PHONY: env-flink
env-flink: env
	@$(RUN) -m local.environments flink

# Check the Terraform files: format, policies, checkov, and the module's own tests where terraform is installed
.PHONY: test-terraform
CHECKOV := .venv-checkov/bin/checkov --skip-download --framework terraform --compact --quiet
test-terraform: env
	@$(RUN) -m local.environments checkov
	@if command -v terraform >/dev/null; \
	  then terraform fmt -check -diff -recursive terraform && $(RUN) -m tests.terraform.run \
	    && $(RUN) -m pytest tests/terraform/changes.py; \
	  else echo "terraform is not installed: the policies and checkov are all that is checked"; fi
	$(RUN) -m pytest tests/terraform
	$(CHECKOV) --directory terraform

# Compile the pinned requirements, with hashes, for every platform
.PHONY: lock
lock: env
	@$(RUN) -m deploy.lock

# Fail where the pinned requirements are not those that pyproject.toml asks for
.PHONY: lock-check
lock-check: env
	@$(RUN) -m deploy.lock --check

# Stage each function with the package and its requirements in build/, and print sizes and hashes
.PHONY: bundle
bundle: env
	@$(RUN) -m deploy.bundle

# Make the files of a release in build/release: function bundles, wheel, image recipe and notes; checks TAG if set
.PHONY: release
release: env
	@$(RUN) -m deploy.release $(if $(TAG),--tag "$(TAG)")

# Remove what the targets above made
.PHONY: clean
clean:
	rm -rf build .venv .venv-checkov .venv-openapi .venv-flink .venv-flink2 .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
