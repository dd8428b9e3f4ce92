# Everything that does work is a target here, the same on a laptop and in CI. `make help` lists them.
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
.PHONY: help setup run data pipeline reproduce candidate report serve test lint bench bench-serving current ui lock clean image image-test image-archive sbom up down demo release rollback retrain

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

candidate: setup ## Put what DVC knows of the candidate into build/store, for make release to take on another machine
	dvc remote add --quiet --local --force handed-on build/store
	dvc push --quiet --remote handed-on dvc.yaml

report: setup ## Show the run: build/report.html for a browser, build/report.md for a pull request
	.ci/summary

serve: setup ## Serve the champion at port 8000 (PORT=...)
	slipway serve --port $(PORT)

test: setup ## Run the tests; those of the data and the model at hand need a candidate, which is made first
	slipway run --no-track
	pytest -n auto --dist loadgroup

lint: setup lint-workflows ## Check style, types, the design's rules of import, scripts and workflows
	ruff check .
	ruff format --check .
	mypy
	lint-imports

WORKFLOWS := $(wildcard .github/workflows/*.yml)
schema = $(if $(2),check-jsonschema --builtin-schema vendor.$(1) $(2))

.PHONY: lint-workflows
lint-workflows: setup ## Check what runs in CI, and its scripts
	shellcheck --exclude=SC2016 .ci/* # backticks within single quotes are Markdown's here
	$(if $(WORKFLOWS),zizmor --quiet --offline --pedantic .github)
	$(call schema,github-workflows,$(WORKFLOWS))
	$(call schema,github-actions,$(wildcard .github/actions/*/action.yml))
	$(call schema,dependabot,$(wildcard .github/dependabot.yml))
	$(call schema,gitlab-ci --data-transform gitlab-ci,$(wildcard .gitlab-ci.yml))

ACTIONLINT ?= v1.7.12
.PHONY: actionlint
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

current: setup ## See that requirements*.txt are what pyproject.toml asks for
	$(MAKE) lock
	git diff --exit-code --stat -- 'requirements*.txt' stack/mlflow/requirements.txt

# --- What a release changes in Git, and on its remote (docs/pipeline.md) ---
release: setup ## Release what was judged: champion, image, tag, in one push (PIN_IMAGE=name@sha256:... BRANCH=main)
	.ci/release

rollback: setup ## Make an earlier champion serve again, and push that (VERSION=... REASON="...")
	.ci/rollback

retrain: setup ## Learn from the data as it is now, and propose the candidate (PROMETHEUS_URL=...: if that is due)
	.ci/retrain

ui: setup ## Open MLflow's page over the recorded runs, at port 5000
	mlflow ui --backend-store-uri $${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db} --port 5000

UV_COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url
lock: setup ## Lock the dependencies of pyproject.toml, with hashes
	$(UV_COMPILE) --output-file requirements.txt
	$(UV_COMPILE) --extra skops --output-file requirements-skops.txt
	$(UV_COMPILE) --extra dev --output-file requirements-dev.txt
	$(UV_COMPILE) --extra signing --constraint requirements-dev.txt --output-file requirements-signing.txt
	$(subst pyproject.toml,stack/mlflow/requirements.in,$(UV_COMPILE)) --constraint requirements-dev.txt \
		--output-file stack/mlflow/requirements.txt

# --- The image and the stack (docs/image.md) ---
# RELEASE=build packs the candidate. BASE names another base image, best one pinned by digest. SIGNING=1 adds what verifies
# a signature.
IMAGE ?= slipway:local
RELEASE ?= champion
BASE ?= python:3.11-slim-bookworm
DOCKER_BUILD ?= docker build
export DOCKER_BUILDKIT := 1
export COMPOSE_DOCKER_CLI_BUILD := 1
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
PROFILES ?=
MANIFEST = $(RELEASE)/bundle/manifest.json
manifest = $(shell python -c 'import json; print(json.load(open("$(MANIFEST)"))["$(1)"])')
digest = $(firstword $(shell sha256sum $(MANIFEST)))
# What pip needs to reach the index; a secret, so that it stays out of the layers and of their history.
pip-config = $(if $(PIP_CONFIG_FILE),--secret id=pip$(comma)src=$(PIP_CONFIG_FILE))
comma := ,

image: release-here ## Pack the champion into an image (IMAGE=..., BASE=..., RELEASE=build)
	$(DOCKER_BUILD) --tag $(IMAGE) $(pip-config) --build-arg BASE=$(BASE) --build-arg RELEASE=$(RELEASE) \
		--build-arg SIGNING=$(SIGNING) \
		--build-arg SOURCE_DATE_EPOCH=$(shell git log -1 --format=%ct) \
		--build-arg SOURCE=$(shell git config --get remote.origin.url | sed -e 's|//[^/@]*@|//|' -e 's|\.git$$||') \
		--build-arg REVISION=$(shell git rev-parse HEAD) --build-arg MODEL_NAME=$(call manifest,name) \
		--build-arg MODEL_VERSION=$(shell echo $(digest) | cut -c 1-12) --build-arg MODEL_DIGEST=$(digest) \
		--build-arg DATA_DIGEST=$(call manifest,data) .

.PHONY: release-here
release-here: setup
	@test $(RELEASE) != champion || dvc pull --quiet champion.dvc

image-test: image ## Run the image as a cluster does, and ask it for its golden rows
	IMAGE=$(IMAGE) RELEASE=$(RELEASE) pytest tests/template/ops/test_image.py

image-archive: ## Save the image to build/image.tar.gz
	docker save --output build/image.tar $(IMAGE)
	gzip --force build/image.tar

sbom: setup ## List the Python packages in the image: build/sbom.cdx.json (CycloneDX)
	rm -rf build/sbom
	$(PYTHON) -m venv --without-pip build/sbom
	@container=$$(docker create $(IMAGE)) && docker cp $$container:/opt/venv/lib/. build/sbom/lib; \
		status=$$?; docker rm $$container >/dev/null; exit $$status
	cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file build/sbom.cdx.json build/sbom

# A finding that has a fix fails from SEVERITY on, if it is in what is put on top of the base image. What is in the base
# (BASE_PATHS) is listed, too, but only another base mends it; with BASE_PATHS= it fails as well. The scanner is built from
# source, which Go's checksum database vouches for.
SEVERITY ?= critical
BASE_PATHS ?= /usr/** /var/**
GRYPE ?= v0.121.2
.PHONY: scan
scan: $(BIN)/grype-$(GRYPE) ## Look for known vulnerabilities in the image; from a severity on they fail (SEVERITY=high)
	$< $(IMAGE) --only-fixed
	@echo "Of these, on top of the base image (from $(SEVERITY) on they fail):"
	$< $(IMAGE) --only-fixed --fail-on $(SEVERITY) $(BASE_PATHS:%=--exclude '%')

$(BIN)/grype-$(GRYPE): | setup
	GOBIN=$(CURDIR)/$(BIN) go install github.com/anchore/grype/cmd/grype@$(GRYPE)
	@mv $(BIN)/grype $@

# Which key, or which identity and who vouches for it: the same names as the server's settings (docs/signing.md).
.PHONY: sign verify-signature sigstore-roots
sign: RELEASE = build
sign: setup ## Sign the candidate's bundle, with a key (SIGNING_KEY=private.pem) or as the CI's identity, without one
	model_signing sign $(if $(SIGNING_KEY),key --private_key $(SIGNING_KEY),sigstore --use_ambient_credentials) \
		--signature $(RELEASE)/bundle.sig $(RELEASE)/bundle

verify-signature: release-here ## See who signed the champion (SIGNATURE_KEY=public.pem, or SIGNER=... SIGNER_ISSUER=...)
	$(if $(SIGNATURE_KEY)$(SIGNER),,$(error Whose signature? SIGNATURE_KEY=public.pem, or SIGNER=... SIGNER_ISSUER=...))
	@model_signing verify $(if $(SIGNATURE_KEY),key --public_key $(SIGNATURE_KEY),sigstore --identity '$(SIGNER)' \
		--identity_provider '$(SIGNER_ISSUER)' $(if $(SIGNER_TRUST),--trust_config $(SIGNER_TRUST))) \
		--signature $(RELEASE)/bundle.sig $(RELEASE)/bundle

sigstore-roots: setup ## Fetch what verifies keyless signatures without a network: build/sigstore.json
	@mkdir -p build
	python -c 'import sigstore.models as s; roots = s.ClientTrustConfig.production()._inner.to_json(); \
		open("build/sigstore.json", "w").write(roots)'

up: image .env ## Start the service and what watches it (PROFILES="mlflow s3" for more)
	$(if $(filter mlflow,$(PROFILES)),$(COMPOSE) --profile mlflow build mlflow)
	$(COMPOSE) $(PROFILES:%=--profile %) up --detach
	slipway smoke http://127.0.0.1:$(PORT)
	@echo "Service :$(PORT)   Grafana :3000   Prometheus :9090   Alertmanager :9093   (mlflow :5000   s3 :7070)"

down: ## Stop it all; what was stored stays (docker volumes)
	$(COMPOSE) --profile mlflow --profile s3 down

demo: setup ## Send the service everyday traffic, then drifted traffic, for the dashboards to move
	python monitoring/traffic.py --port $(PORT)

# Made once, for this machine only.
.env:
	@umask 077 && for name in POSTGRES_PASSWORD S3_SECRET_KEY SLIPWAY_FEEDBACK_KEY; do \
		echo "$$name=$$(python3 -c 'import secrets; print(secrets.token_hex(24))')"; done >$@

# --- Kubernetes (docs/kubernetes.md) ---
# Whatever cluster kubectl's current context names. PIN_IMAGE is name@sha256:..., as the registry knows it.
OVERLAY ?= local
CHECKOV ?= checkov==3.3.30
OVERLAYS := $(notdir $(wildcard k8s/overlays/*))
RULES := $(sort $(wildcard monitoring/prometheus/rules/*.yml))
OPERATOR_RULES := k8s/components/monitoring-operator/rules.yaml
.PHONY: k8s-render k8s-rules k8s-lint k8s-diff k8s-pinned k8s-deploy k8s-pin k8s-test kind

k8s-render: k8s-rules ## Render each overlay to build/k8s/
	@mkdir -p build/k8s
	@for overlay in $(OVERLAYS); do \
		kubectl kustomize k8s/overlays/$$overlay >build/k8s/$$overlay.yaml && echo build/k8s/$$overlay.yaml || exit 1; done

k8s-rules: $(OPERATOR_RULES) ## Write the rules of monitoring/ as the Prometheus Operator wants them

# A PrometheusRule holds a rule file as it is, two columns to the right.
$(OPERATOR_RULES): $(RULES)
	@echo "# Made by make k8s-rules of monitoring/prometheus/rules; change it there." >$@
	@for rules in $(RULES); do \
		printf -- '---\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: slipway-%s\n' \
			$$(basename $$rules .yml); \
		printf '  labels:\n    release: kube-prometheus-stack\nspec:\n'; \
		sed 's/^\(.\)/  \1/' $$rules; done >>$@

k8s-lint: setup k8s-render ## Check each overlay, and production with all components, with checkov
	@mkdir -p build/k8s/all
	@sed -e 's/^components: .*/components:/' -e 's/^#  - /  - /' -e 's|\.\./\.\./|../../../k8s/|' \
		k8s/overlays/production/kustomization.yaml >build/k8s/all/kustomization.yaml
	@kubectl kustomize build/k8s/all >build/k8s/all.yaml && rm -r build/k8s/all
	uv tool run --quiet --python $(PYTHON) --from $(CHECKOV) checkov --quiet --compact --skip-download \
		--framework kubernetes --directory build/k8s

namespace = $(shell kubectl kustomize k8s/overlays/$(OVERLAY) | awk '/^kind: Namespace/{n=1} n&&/^  name:/{print $$2; exit}')

k8s-diff: k8s-rules k8s-pinned ## Show what a deploy would change in the cluster (OVERLAY=local, staging, production)
	@if kubectl get namespace $(namespace) >/dev/null; then \
		kubectl diff --server-side -k k8s/overlays/$(OVERLAY) || test $$? -eq 1; \
	else echo "All of it is new: there is no namespace $(namespace)."; fi

k8s-pinned:
	@! grep -q 'sha256:0000000000' k8s/overlays/$(OVERLAY)/kustomization.yaml || \
		{ echo "k8s/overlays/$(OVERLAY) names no image yet: a release does, or make k8s-pin" >&2; exit 1; }

k8s-deploy: k8s-rules k8s-pinned release-here ## Apply an overlay, wait, ask for the golden rows; roll back if it fails (OVERLAY=...)
	@.ci/deploy $(OVERLAY)

k8s-pin: ## Say what an overlay deploys (OVERLAY=... PIN_IMAGE=...@sha256:... MODEL_VERSION=... COMMIT=...)
	@echo '$(PIN_IMAGE) $(MODEL_VERSION) $(COMMIT)' | grep -Eq '^[^ @]+@sha256:[0-9a-f]{64} [0-9a-f]{12} [0-9a-f]{40}$$' || \
		{ echo "PIN_IMAGE=name@sha256:..., MODEL_VERSION=12 hex digits and COMMIT=40 are needed" >&2; exit 1; }
	@sed -i.before -E \
		-e 's|^(    newName: ).*|\1$(firstword $(subst @, ,$(PIN_IMAGE)))|' \
		-e 's|^(    digest: ).*|\1$(lastword $(subst @, ,$(PIN_IMAGE)))|' \
		-e 's|^(  slipway/model-version: ).*|\1"$(MODEL_VERSION)"|' \
		-e 's|^(  slipway/commit: ).*|\1"$(COMMIT)"|' \
		-e 's|(SLIPWAY_EXPECTED=)[0-9a-f]*|\1$(MODEL_VERSION)|' \
		k8s/overlays/$(OVERLAY)/kustomization.yaml && rm k8s/overlays/$(OVERLAY)/kustomization.yaml.before

k8s-test: setup ## See the cluster roll out, replace, hold back, roll back and scale (IMAGE=..., as the cluster pulls it)
	IMAGE=$(IMAGE) RELEASE=$(RELEASE) pytest tests/template/cluster/rollout.py

kind: ## Make a cluster in Docker, with kind, and put the image into it
	kind get clusters | grep -qx slipway || kind create cluster --name slipway --wait 2m
	kind load docker-image --name slipway $(IMAGE)

clean: ## Remove what was built (not the data, not the environment)
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
