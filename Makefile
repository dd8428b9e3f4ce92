# Commands, the same on a laptop and in CI. `make help` lists them, with those of */*.mk.
PYTHON ?= python3.11
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# macOS' make 3.81 uses that PATH only if the shell is not its default.
SHELL := /bin/bash
export GX_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
# pip and uv trust the same certificates: those that either was told of, or else the system's. Behind a company's proxy that
# re-signs TLS its root is there, and neither would look.
SYSTEM_CERTS := $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt))
CERTS := $(or $(SSL_CERT_FILE),$(PIP_CERT),$(SYSTEM_CERTS))
ifneq ($(CERTS),)
export SSL_CERT_FILE := $(CERTS)
export PIP_CERT := $(or $(PIP_CERT),$(CERTS))
else # macOS: its keychain
export UV_SYSTEM_CERTS ?= true
endif
.DEFAULT_GOAL := help
-include */*.mk .devcontainer/*.mk
.PHONY: help setup run data pipeline reproduce report serve test test-all lint lint-workflows actionlint \
	current ui lock release rollback retrain clean

help: ## List the targets
	@awk -F ':.*## ' 'FNR == 1 {print (NR > 1 ? "\n" : "") substr($$0, 3)} \
		/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.done ## Create .venv from the lock file (other targets do it when needed)

$(VENV)/.done: requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import re; print(re.search(r"^uv==(.*\\\n)*.*", open("requirements-dev.txt").read(), re.M)[0])' >$(VENV)/uv.txt
	$(BIN)/pip install --quiet --require-hashes -r $(VENV)/uv.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements-dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

run: pipeline serve ## From a clone to a served model: data, pipeline, verdict, champion at port 8000

data: setup ## Fetch the data and validate it
	dvc pull --quiet data.dvc
	dvc repro --quiet validate

pipeline: setup ## Fetch the data, run the changed stages and the gate, track the run (RUN=--pull)
	slipway run $(RUN)

reproduce: setup ## Make the candidate again from the data: the same bytes, or across platforms the same predictions
	slipway reproduce

report: setup ## Write the report: build/report.html for a browser, build/report.md for a pull request
	slipway report

serve: setup ## Serve the champion at port 8000 (PORT=...)
	slipway serve --port $(PORT)

# The template's own tests run only if files of the template changed since a commit (by default the last one on the remote
# branch), or if that is unknown. Otherwise only the project's tests run, and one file of the template's.
SINCE ?= $(shell git merge-base HEAD '@{upstream}' 2>/dev/null)
MACHINERY = src/slipway tests/template tests/conftest.py .ci .github Dockerfile Makefile stack dvc.yaml pyproject.toml \
	$(wildcard .gitlab-ci.yml docker-compose.yml k8s monitoring requirements*.txt)
OWN = $(wildcard tests/data tests/model tests/project) tests/template/unit/test_one_declaration.py
test: setup ## Run the project's tests, and the template's (tests/template) if the template changed (SINCE=commit)
	slipway run --no-track
	pytest -n logical --dist loadgroup $$(git diff --quiet "$(SINCE)" -- $(MACHINERY) 2>/dev/null && echo $(OWN) || echo tests)

test-all: setup ## Run every test
	slipway run --no-track
	pytest -n logical --dist loadgroup

lint: setup lint-workflows ## Check style, types, import rules, scripts and workflows
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	SKIP=ruff-check,ruff-format pre-commit run --all-files # part: pre-commit

# --- Releases: commits, tags and pushes (docs/pipeline.md) ---
release: setup ## Release the judged candidate: champion, image, tag, in one push (PIN_IMAGE=name@sha256:... BRANCH=main)
	slipway release

rollback: setup ## Restore an earlier champion, and push (VERSION=... REASON="...")
	slipway rollback --push

retrain: setup ## Train on the present data, and propose the candidate (PROMETHEUS_URL=...: only if due)
	.ci/retrain

# --- Maintenance ---
ui: setup ## Open MLflow's UI with the recorded runs, at port 5000
	mlflow ui --backend-store-uri $${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db} --port 5000

WORKFLOWS := $(wildcard .github/workflows/*.yml)
schema = $(if $(2),check-jsonschema --builtin-schema vendor.$(1) $(2))
lint-workflows: setup ## Check the CI's workflows and scripts
	shellcheck --exclude=SC2016 $$(grep -ls '^#!.*sh$$' .ci/* .devcontainer/*) # backticks in single quotes are Markdown
	$(if $(WORKFLOWS),zizmor --quiet --offline --pedantic .github)
	$(call schema,github-workflows,$(WORKFLOWS))
	$(call schema,github-actions,$(wildcard .github/actions/*/action.yml))
	$(call schema,dependabot,$(wildcard .github/dependabot.yml))
	$(call schema,gitlab-ci --data-transform gitlab-ci,$(wildcard .gitlab-ci.yml))

# It does not know the key `queue` yet, which the schema above does.
ACTIONLINT ?= v1.7.12
actionlint: setup ## Check the workflows with actionlint, built from source (needs Go)
	$(if $(WORKFLOWS),SHELLCHECK_OPTS=--exclude=SC2016 go run github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT) \
		-ignore 'unexpected key "queue" for "concurrency"')

# In a separate folder: rewriting a lock file, even unchanged, would make `setup` rebuild the environment.
LOCKS = $(wildcard requirements*.txt stack/*.txt stack/*/*.txt k8s/*.txt benchmarks/*.txt examples/*.txt notebooks/*.txt)
current: setup ## Check that requirements*.txt match pyproject.toml
	@rm -rf build/locks
	@for lock in $(LOCKS); do mkdir -p build/locks/$$(dirname $$lock) && cp $$lock build/locks/$$lock; done
	$(MAKE) --no-print-directory lock INTO=build/locks/
	@for lock in $(LOCKS); do diff $$lock build/locks/$$lock || { echo "$$lock is out of date: make lock" >&2; exit 1; }; done

INTO ?=
lock = $(BIN)/uv pip compile $(1) --quiet --universal --python-version 3.11 --generate-hashes $(UPGRADE) --no-header \
	--no-annotate --no-emit-index-url --output-file $(INTO)$(2)
lock: setup ## Lock all dependencies, with hashes (UPGRADE=--upgrade: the newest versions)
	$(call lock,pyproject.toml,requirements.txt)
	$(call lock,pyproject.toml --extra skops --extra model,requirements-skops.txt)
	$(call lock,pyproject.toml --extra dev,requirements-dev.txt)
	$(call lock,pyproject.toml --extra store --constraint requirements-dev.txt,requirements-store.txt)
	$(call lock,pyproject.toml --extra signing --constraint requirements-dev.txt,requirements-signing.txt) # part: signing
	$(call lock,stack/mlflow/requirements.in --constraint requirements-dev.txt,stack/mlflow/requirements.txt) # part: mlflow-server
	$(call lock,pyproject.toml --extra search --extra model --constraint requirements-dev.txt,stack/search/requirements.txt) # part: search
	$(call lock,pyproject.toml --extra predict --constraint requirements-dev.txt,stack/predict/requirements.txt) # part: predict-image
	$(call lock,stack/cyclonedx.in,stack/cyclonedx.txt)
	$(call lock,stack/moto.in,stack/moto.txt)
	$(call lock,k8s/checkov.in,k8s/checkov.txt) # part: kubernetes
	$(call lock,benchmarks/mutants.in --constraint requirements-dev.txt,benchmarks/mutants.txt) # part: benchmarks
	$(call lock,examples/requirements.in --constraint requirements-dev.txt,examples/requirements.txt) # part: spark
	$(call lock,notebooks/requirements.in --constraint requirements-dev.txt,notebooks/requirements.txt) # part: notebooks

# Tools in environments of their own, since their dependencies conflict with ours or make our commands start more slowly.
$(VENV)/moto/.done: stack/moto.txt
$(VENV)/%/.done: $(VENV)/.done
	uv venv --quiet --clear --python $(PYTHON) $(@D)
	uv pip sync --quiet --python $(@D)/bin/python --require-hashes $(filter %.txt,$^)
	@touch $@

clean: ## Remove build outputs (not the data, not the environment)
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
