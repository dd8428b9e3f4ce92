# The image and the local stack (docs/image.md). RELEASE=build packs the candidate. BASE is the base image, best pinned by digest.
.PHONY: image release-here image-test image-archive sbom
IMAGE ?= slipway:local
RELEASE ?= champion
BASE ?= python:3.11-slim-bookworm
DOCKER_BUILD ?= docker build
export DOCKER_BUILDKIT := 1
export COMPOSE_DOCKER_CLI_BUILD := 1
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
PROFILES ?=
# pip's configuration; a build secret, so that it is in no layer and not in the history.
pip-config = $(if $(PIP_CONFIG_FILE),--secret id=pip$(comma)src=$(PIP_CONFIG_FILE))
comma := ,

build-args = --build-arg BASE=$(BASE) --build-arg RELEASE=$(RELEASE) --build-arg STORE=$(STORE)
build-args += --build-arg SIGNING=$(SIGNING) # part: signing
image: release-here ## Pack the champion into an image (IMAGE=..., BASE=..., RELEASE=build)
	labels=$$(python stack/labels.py $(RELEASE)) && $(DOCKER_BUILD) --tag $(IMAGE) $(pip-config) $(build-args) $$labels .

# part: predict-image
# An IMAGE that is named by its digest is taken as it is.
.PHONY: predict-image
PREDICT_IMAGE ?= slipway-predict:local
predict-image: $(if $(findstring @,$(IMAGE)),,image) ## Pack `slipway predict` on top of the image that serves (PREDICT_IMAGE=..., IMAGE=name@sha256:...)
	$(DOCKER_BUILD) --tag $(PREDICT_IMAGE) $(pip-config) --build-arg BASE=$(BASE) --build-arg IMAGE=$(IMAGE) \
		--file stack/predict/Dockerfile .

# part: predict-image
# PREDICT=1: it is scanned and published, too. It has all layers of the image that serves.
ifdef PREDICT
image-archive: predict-image
scan: predict-image # part: scan
ARCHIVED = $(PREDICT_IMAGE)
SCANNED = $(PREDICT_IMAGE)
endif

release-here: setup
	@test $(RELEASE) != champion || dvc pull --quiet champion.dvc

image-test: image ## Run the image as a cluster does, and check its golden rows
	IMAGE=$(IMAGE) RELEASE=$(RELEASE) pytest tests/template/ops/image.py

image-archive: ## Save the image to build/image.tar.gz
	docker save --output build/image.tar $(IMAGE) $(ARCHIVED)
	gzip --force build/image.tar

$(VENV)/cyclonedx/.done: stack/cyclonedx.txt
sbom: setup $(VENV)/cyclonedx/.done ## List the model, its data and the Python packages in the image: build/sbom.cdx.json (CycloneDX)
	rm -rf build/sbom
	$(PYTHON) -m venv --without-pip build/sbom
	@container=$$(docker create $(IMAGE)) && docker cp $$container:/opt/venv/lib/. build/sbom/lib; \
		status=$$?; docker rm $$container >/dev/null; exit $$status
	$(VENV)/cyclonedx/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file build/sbom.cdx.json build/sbom
	$(PYTHON) stack/sbom.py build/sbom.cdx.json $(RELEASE)

# part: scan
# Findings of at least SEVERITY with a fix fail, if they are in the layers on top of the base image. Those in the base
# (BASE_PATHS) are only listed, as they need another base; with BASE_PATHS= they fail, too. The scanner is built from source,
# verified by Go's checksum database.
.PHONY: scan scanner
SEVERITY ?= critical
BASE_PATHS ?= /usr/** /var/**
GRYPE ?= v0.121.2
scan: $(BIN)/grype-$(GRYPE) ## Scan the image for known vulnerabilities; fail from a severity (SEVERITY=high)
	@$(PYTHON) stack/accepted.py
	$< $(or $(SCANNED),$(IMAGE)) --only-fixed
	@echo "Of these, on top of the base image (at least $(SEVERITY) fails):"
	$< $(or $(SCANNED),$(IMAGE)) --only-fixed --fail-on $(SEVERITY) $(BASE_PATHS:%=--exclude '%')

# part: scan
scanner: $(BIN)/grype-$(GRYPE) ## Build the scanner (needs Go)

# part: scan
$(BIN)/grype-$(GRYPE): | setup
	GOBIN=$(CURDIR)/$(BIN) go install github.com/anchore/grype/cmd/grype@$(GRYPE)
	@mv $(BIN)/grype $@

# part: signing
# Signing is optional, so model-signing is only installed on demand; in the image with SIGNING=1.
.PHONY: signing sign verify-signature sigstore-roots
signing: $(VENV)/.signing ## Install model-signing, which signs bundles and verifies signatures

# part: signing
$(VENV)/.signing: $(VENV)/.done requirements-signing.txt
	uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-signing.txt
	@touch $@

# part: signing
# SIGNING_KEY: a file, or $KEY: its text. SIGNER and SIGNER_ISSUER: as in the server's settings.
sign: RELEASE = build
sign: signing ## Sign the candidate's bundle, with a key (SIGNING_KEY=private.pem) or keyless in CI
	model_signing sign $(if $(SIGNING_KEY)$(KEY),key --private_key $(or $(SIGNING_KEY),<(echo "$$KEY")), \
		sigstore --use_ambient_credentials) --signature $(RELEASE)/bundle.sig $(RELEASE)/bundle

# part: signing
verify-signature: release-here signing ## Verify the champion's signature (SIGNATURE_KEY=public.pem, or SIGNER=... SIGNER_ISSUER=...)
	$(if $(SIGNATURE_KEY)$(SIGNER),,$(error Whose signature? SIGNATURE_KEY=public.pem, or SIGNER=... SIGNER_ISSUER=...))
	@model_signing verify $(if $(SIGNATURE_KEY),key --public_key $(SIGNATURE_KEY),sigstore --identity '$(SIGNER)' \
		--identity_provider '$(SIGNER_ISSUER)' $(if $(SIGNER_TRUST),--trust_config $(SIGNER_TRUST))) \
		--signature $(RELEASE)/bundle.sig $(RELEASE)/bundle

# part: signing
sigstore-roots: signing ## Fetch Sigstore's trust root for offline verification: build/sigstore.json
	@mkdir -p build
	python -c 'import sigstore.models as s; roots = s.ClientTrustConfig.production()._inner.to_json(); \
		open("build/sigstore.json", "w").write(roots)'

# part: compose
.PHONY: up down
up: image .env ## Start the service with its monitoring (PROFILES="mlflow s3" for more)
# part: mlflow-server
	$(if $(filter mlflow,$(PROFILES)),$(COMPOSE) --profile mlflow build mlflow)
# end: mlflow-server
	$(COMPOSE) $(PROFILES:%=--profile %) up --detach
	slipway smoke http://127.0.0.1:$(PORT)
	@echo "Service :$(PORT)   (mlflow :5000   s3 :7070)"
	@echo "Grafana :3000   Prometheus :9090   Alertmanager :9093" # part: monitoring

# part: compose
down: ## Stop the stack; its data stays in Docker volumes
	$(COMPOSE) --profile mlflow --profile s3 down

# part: monitoring
.PHONY: demo traffic
demo: setup ## Turn the whole loop in a scratch copy: drift, alert, truth, shadow, promotion (needs Prometheus and Alertmanager)
	cd monitoring && python -m demo

# part: monitoring
traffic: setup ## Send the service everyday traffic, then drifted traffic, for the dashboards
	python monitoring/traffic.py --port $(PORT)

# part: compose
# Generated once, for this machine only.
.env:
	@umask 077 && for name in POSTGRES_PASSWORD S3_SECRET_KEY SLIPWAY_FEEDBACK_KEY; do \
		echo "$$name=$$(python3 -c 'import secrets; print(secrets.token_hex(24))')"; done >$@

