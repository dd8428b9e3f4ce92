# The development container, without an editor (docs/workbench.md).
.PHONY: container-test
container-test: ## Run `make test` and `make run` in the development container, over a clone (needs Docker and npm)
	.devcontainer/test
