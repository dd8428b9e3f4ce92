# Kubernetes (docs/kubernetes.md): the cluster of kubectl's current context. PIN_IMAGE is name@sha256:..., as in the registry.
OVERLAY ?= local
OVERLAYS := $(notdir $(wildcard k8s/overlays/*))
RULES := $(sort $(wildcard monitoring/prometheus/rules/*.yml)) # part: monitoring
comma := ,
COMPONENTS = $(subst $() $(),$(comma),$(patsubst %,"../../../%",$(wildcard k8s/components/*)))
OPERATOR_RULES := k8s/components/monitoring-operator/rules.yaml # part: monitoring
.PHONY: k8s-tools k8s-render k8s-lint k8s-diff k8s-pinned k8s-deploy k8s-pin k8s-test k8s-show kind

# kubectl and kind, where they are missing, for this project alone.
k8s-tools: setup
	@TO=$(BIN) .ci/tools kubectl

k8s-render: $(OPERATOR_RULES) k8s-tools ## Render each overlay to build/k8s/
	@mkdir -p build/k8s
	@for overlay in $(OVERLAYS); do \
		kubectl kustomize k8s/overlays/$$overlay >build/k8s/$$overlay.yaml && echo build/k8s/$$overlay.yaml || exit 1; done

# part: monitoring
.PHONY: k8s-rules
k8s-rules: $(OPERATOR_RULES) ## Convert the rules of monitoring/ for the Prometheus Operator

# part: monitoring
$(OPERATOR_RULES): $(RULES) k8s/rules.py
	@$(PYTHON) k8s/rules.py >$@

$(VENV)/checkov/.done: k8s/checkov.txt
k8s-lint: k8s-render $(VENV)/checkov/.done ## Check each overlay, and production with all components, with checkov
	@mkdir -p build/k8s/all
	@echo '{"resources": ["../../../k8s/overlays/production"], "namespace": "slipway", "components": [$(COMPONENTS)]}' \
		>build/k8s/all/kustomization.yaml
	@kubectl kustomize build/k8s/all >build/k8s/all.yaml && rm -r build/k8s/all
	$(VENV)/checkov/bin/checkov --quiet --compact --skip-download --framework kubernetes --directory build/k8s

k8s-diff: $(OPERATOR_RULES) k8s-pinned k8s-tools ## Show what a deploy would change in the cluster (OVERLAY=local, staging, production)
	@.ci/deploy $(OVERLAY) --diff

k8s-pinned:
	@test -e k8s/overlays/$(OVERLAY)/kustomization.yaml || \
		{ echo "There is no overlay $(OVERLAY) in k8s/overlays, but: $(OVERLAYS)" >&2; exit 1; }
	@! grep -q 'sha256:0000000000' k8s/overlays/$(OVERLAY)/kustomization.yaml || \
		{ echo "k8s/overlays/$(OVERLAY) names no image yet: a release does, or make k8s-pin" >&2; exit 1; }

k8s-deploy: $(OPERATOR_RULES) k8s-pinned k8s-tools release-here ## Apply an overlay, wait, check the golden rows; roll back on failure (OVERLAY=...)
	@.ci/deploy $(OVERLAY)

k8s-pin: setup ## Set the image and version of an overlay (OVERLAY=... PIN_IMAGE=...@sha256:... MODEL_VERSION=... COMMIT=...)
	@slipway pin $(OVERLAY) "$(PIN_IMAGE)" "$(MODEL_VERSION)" "$(COMMIT)"

k8s-test: k8s-tools release-here ## Test rollout, replacement, rollback and scaling in the cluster (IMAGE=..., as the cluster pulls it)
	IMAGE=$(IMAGE) RELEASE=$(RELEASE) pytest tests/template/cluster/rollout.py

k8s-show: k8s-tools ## Print the cluster's state, for a log: pods, events, descriptions, logs
	-kubectl get all --all-namespaces --output wide
	-kubectl get events --all-namespaces --sort-by .lastTimestamp
	-kubectl describe pods --all-namespaces --selector app.kubernetes.io/name=slipway
	-kubectl logs --all-containers --prefix --tail 200 --selector app.kubernetes.io/name=slipway --namespace slipway-test

kind: k8s-tools ## Create a kind cluster in Docker, and load the image into it
	@TO=$(BIN) .ci/tools kind
	kind get clusters | grep -qx slipway || kind create cluster --name slipway --wait 2m
	kind load docker-image --name slipway $(IMAGE)

