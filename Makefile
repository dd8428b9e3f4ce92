# Everything one does work is a target here, the same on a laptop and in CI. `make help` lists them all, also those of the
# image (stack/image.mk) and of a cluster (k8s/k8s.mk).
PYTHON ?= python3.11
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# macOS has make 3.81, which looks for commands along that PATH only through a shell that is not its default.
SHELL := /bin/bash
export GX_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
.DEFAULT_GOAL := help
-include stack/image.mk k8s/k8s.mk
# A target is a file only if its name looks like one.
.PHONY: help setup run data pipeline reproduce report serve test test-all lint lint-workflows actionlint bench \
	bench-serving current ui lock release rollback retrain clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.done ## Make .venv, exactly as locked (the other targets do it when needed)

$(VENV)/.done: requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import re; print(re.search(r"^uv==(.*\\\n)*.*", open("requirements-dev.txt").read(), re.M)[0])' >$(VENV)/uv.txt
	$(BIN)/pip install --quiet --require-hashes -r $(VENV)/uv.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements-dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

run: pipeline serve ## From a clone to a served model: data, pipeline, verdict, champion at port 8000

data: setup ## Fetch the data, and see that it is what the schema and the expectations say
	dvc pull --quiet data.dvc
	dvc repro --quiet validate

pipeline: setup ## Fetch the data, run what changed, judge the candidate, record the run (RUN=--pull)
	slipway run $(RUN)

reproduce: setup ## Make everything again from the data: each byte must be what dvc.lock says
	@cp dvc.lock build/dvc.lock
	dvc repro --quiet --force
	@diff build/dvc.lock dvc.lock || { echo "Not reproduced: the same code, data and parameters gave other bytes (<, >)." >&2; exit 1; }
	@echo "Reproduced, byte for byte."

report: setup ## Show the run: build/report.html for a browser, build/report.md for a pull request
	slipway report

serve: setup ## Serve the champion at port 8000 (PORT=...)
	slipway serve --port $(PORT)

# The template's own tests run where something of the template changed since a commit (by default the last one that the
# remote's branch has), or where that is not known. Else the project's, and a check that the machinery is whole.
SINCE ?= $(shell git merge-base HEAD '@{upstream}' 2>/dev/null)
MACHINERY = src/slipway tests/template tests/conftest.py .ci .github .gitlab-ci.yml Dockerfile docker-compose.yml Makefile stack k8s \
	monitoring dvc.yaml pyproject.toml $(wildcard requirements*.txt)
OWN = $(wildcard tests/data tests/model tests/project) tests/template/unit/test_one_declaration.py
test: setup ## Run the tests of this project; and the template's (tests/template), where it was changed (SINCE=commit)
	slipway run --no-track
	pytest -n logical --dist loadgroup $$(git diff --quiet "$(SINCE)" -- $(MACHINERY) 2>/dev/null && echo $(OWN) || echo tests)

test-all: setup ## Run every test
	slipway run --no-track
	pytest -n logical --dist loadgroup

lint: setup lint-workflows ## Check style, types, the design's rules of import, scripts and workflows
	ruff check .
	ruff format --check .
	mypy
	lint-imports

# --- What a release changes in Git, and on its remote (docs/pipeline.md) ---
release: setup ## Release what was judged: champion, image, tag, in one push (PIN_IMAGE=name@sha256:... BRANCH=main)
	slipway release

rollback: setup ## Make an earlier champion serve again, and push that (VERSION=... REASON="...")
	slipway rollback --push

retrain: setup ## Train on the data as it is now, and propose the candidate (PROMETHEUS_URL=...: if that is due)
	.ci/retrain

# --- Now and then ---
ui: setup ## Open MLflow's page over the recorded runs, at port 5000
	mlflow ui --backend-store-uri $${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db} --port 5000

WORKFLOWS := $(wildcard .github/workflows/*.yml)
schema = $(if $(2),check-jsonschema --builtin-schema vendor.$(1) $(2))
lint-workflows: setup ## Check what runs in CI, and its scripts
	shellcheck --exclude=SC2016 $$(grep -l '^#!.*sh$$' .ci/*) # backticks within single quotes are Markdown's here
	$(if $(WORKFLOWS),zizmor --quiet --offline --pedantic .github)
	$(call schema,github-workflows,$(WORKFLOWS))
	$(call schema,github-actions,$(wildcard .github/actions/*/action.yml))
	$(call schema,dependabot,$(wildcard .github/dependabot.yml))
	$(call schema,gitlab-ci --data-transform gitlab-ci,$(wildcard .gitlab-ci.yml))

ACTIONLINT ?= v1.7.12
actionlint: setup ## Check the workflows and the scripts in them with actionlint, which is built from source (needs Go)
	$(if $(WORKFLOWS),SHELLCHECK_OPTS=--exclude=SC2016 go run github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT))

bench: setup ## Measure the pipeline against a plain script, and as the rows grow (docs/performance.md)
	python benchmarks/pipeline.py
	python benchmarks/push.py

bench-serving: setup build/table ## Measure serving beside other servers, in environments of their own (needs wrk)
	@while IFS=: read -r name packages; do test -d build/bench/$$name || { uv venv -q --python $(PYTHON) build/bench/$$name \
		&& uv pip install -q --python build/bench/$$name/bin/python $$packages \
		"scikit-learn==$$(python -c 'import sklearn; print(sklearn.__version__)')"; }; done < benchmarks/peers/environments.txt
	python benchmarks/serving.py

build/table:
	slipway run --no-track

# Into a folder of its own: a lock file that is written anew, even as it was, has the environment made anew.
LOCKS = $(wildcard requirements*.txt stack/mlflow/requirements.txt stack/cyclonedx.txt k8s/checkov.txt)
current: setup ## See that requirements*.txt are what pyproject.toml asks for
	@rm -rf build/locks && mkdir -p build/locks/stack/mlflow build/locks/k8s
	@for lock in $(LOCKS); do cp $$lock build/locks/$$lock; done
	$(MAKE) --no-print-directory lock INTO=build/locks/
	@for lock in $(LOCKS); do diff $$lock build/locks/$$lock || { echo "$$lock is not what was asked for: make lock" >&2; exit 1; }; done

INTO ?=
lock = $(BIN)/uv pip compile $(1) --quiet --universal --python-version 3.11 --generate-hashes $(UPGRADE) --no-header \
	--no-annotate --no-emit-index-url --output-file $(INTO)$(2)
lock: setup ## Lock all dependencies, with hashes (UPGRADE=--upgrade: the newest versions)
	$(call lock,pyproject.toml,requirements.txt)
	$(call lock,pyproject.toml --extra skops --extra model,requirements-skops.txt)
	$(call lock,pyproject.toml --extra dev,requirements-dev.txt)
	$(call lock,pyproject.toml --extra signing --constraint requirements-dev.txt,requirements-signing.txt)
	$(call lock,stack/mlflow/requirements.in --constraint requirements-dev.txt,stack/mlflow/requirements.txt)
	$(call lock,stack/cyclonedx.in,stack/cyclonedx.txt)
	$(call lock,k8s/checkov.in,k8s/checkov.txt)

# A tool in an environment of its own: its dependencies would exclude ours, or make our commands slower to start.
$(VENV)/checkov/.done: k8s/checkov.txt
$(VENV)/cyclonedx/.done: stack/cyclonedx.txt
$(VENV)/%/.done: $(VENV)/.done
	uv venv --quiet --clear --python $(PYTHON) $(@D)
	uv pip sync --quiet --python $(@D)/bin/python --require-hashes $(filter %.txt,$^)
	@touch $@

clean: ## Remove what was built (not the data, not the environment)
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
