# The workers' image of `slipway search` (docs/search.md).
.PHONY: search-image
SEARCH_IMAGE ?= slipway-search:local
search-image: setup ## Pack a worker of `slipway search`: environment, code, training rows (SEARCH_IMAGE=..., BASE=...)
	$(DOCKER_BUILD) --tag $(SEARCH_IMAGE) $(pip-config) --build-arg BASE=$(BASE) --file stack/search/Dockerfile .
