# The example for Spark (docs/scale.md).
.PHONY: spark-test
spark-test: setup $(VENV)/spark/.done ## Test examples/spark_score.py on a Spark cluster of its own (needs Java 17)
	SPARK_HOME=$(CURDIR)/$$(echo $(VENV)/spark/lib/*/site-packages/pyspark) PYTHONPATH=tests/template pytest -q -n 0 examples

$(VENV)/spark/.done: examples/requirements.txt
