# Benchmarks and mutation testing (docs/performance.md, docs/architecture.md).
.PHONY: bench bench-serving mutants
bench: setup ## Benchmark the pipeline: against a plain script, and by number of rows (docs/performance.md)
	python benchmarks/pipeline.py
	python benchmarks/push.py

bench-serving: setup build/table ## Benchmark serving against other servers, in separate environments (needs wrk)
	@while IFS=: read -r name packages; do test -d build/bench/$$name || { uv venv -q --python $(PYTHON) build/bench/$$name \
		&& uv pip install -q --python build/bench/$$name/bin/python $$packages \
		"scikit-learn==$$(python -c 'import sklearn; print(sklearn.__version__)')"; }; done < benchmarks/peers/environments.txt
	python benchmarks/serving.py

build/table:
	slipway run --no-track

mutants: setup ## Mutation testing: count small changes to the code that no unit test notices (MODULES=slipway.champion)
	uv pip install --quiet --python $(BIN)/python --require-hashes -r benchmarks/mutants.txt
	python benchmarks/mutants.py $(MODULES)
