# Notebooks (docs/workbench.md). Jupyter is only installed on demand.
.PHONY: notebook notebooks
notebook: $(VENV)/.notebooks ## Open notebooks/ in JupyterLab (JUPYTER=options)
	jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) $(JUPYTER) notebooks

notebooks: $(VENV)/.notebooks ## Execute all notebooks, into build/notebooks; a failing cell fails with its number
	slipway run --no-track >/dev/null
	notebooks/execute $(wildcard notebooks/*.py)

$(VENV)/.notebooks: $(VENV)/.done notebooks/requirements.txt
	uv pip install --quiet --python $(BIN)/python --require-hashes -r notebooks/requirements.txt
	@touch $@
