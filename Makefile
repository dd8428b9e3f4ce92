# Everything that does work is a target here, the same on a laptop and in CI. `make help` lists them.
PYTHON ?= python3.11
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export GX_ANALYTICS_ENABLED := false

.DEFAULT_GOAL := help
.PHONY: help setup run pipeline serve test lint ui lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.done ## Make .venv, exactly as locked (the other targets do it when needed)

$(VENV)/.done: requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@awk '/^uv==/{block=1} block{print} block&&!/\\$$/{exit}' requirements-dev.txt >$(VENV)/uv.txt
	$(BIN)/pip install --quiet --require-hashes -r $(VENV)/uv.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements-dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

run: pipeline serve ## From a clone to a served model: data, pipeline, verdict, champion at port 8000

pipeline: setup ## Pull the data, run what changed, judge the candidate, record the run
	dvc pull --quiet data.dvc champion.dvc
	slipway run

serve: setup ## Serve the champion at port 8000 (PORT=...)
	slipway serve --port $(PORT)

test: setup ## Run the tests
	pytest -n auto

lint: setup ## Check style, types and the design's rules of import
	ruff check .
	ruff format --check .
	mypy
	lint-imports

ui: setup ## Open MLflow's page over the recorded runs, at port 5000
	mlflow ui --backend-store-uri $${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db} --port 5000

UV_COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url
lock: setup ## Lock the dependencies of pyproject.toml, with hashes
	$(UV_COMPILE) --output-file requirements.txt
	$(UV_COMPILE) --extra skops --output-file requirements-skops.txt
	$(UV_COMPILE) --extra dev --output-file requirements-dev.txt

clean: ## Remove what was built (not the data, not the environment)
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
