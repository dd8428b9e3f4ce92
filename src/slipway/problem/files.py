"""Names of the files that the stages leave for one another and for those who read their results."""

TRAIN, TEST, SOURCE = "train.parquet", "test.parquet", "source.json"  # in build/table
PASSED, REPORT, DATA_DOCS = "passed.json", "report.json", "data-docs"  # in build/validation
METRICS, SLICES, CLASSES = "metrics.json", "slices.json", "classes.json"  # in build/evaluation
ROW = "_row"  # the tables' bookkeeping column: where a row stood in the source
