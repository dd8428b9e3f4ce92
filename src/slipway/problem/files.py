"""File names of the stages' outputs."""

TRAIN, TEST, SOURCE = "train.parquet", "test.parquet", "source.json"  # in build/table
PASSED, REPORT, DATA_DOCS = "passed.json", "report.json", "data-docs"  # in build/validation
METRICS, SLICES, CLASSES = "metrics.json", "slices.json", "classes.json"  # in build/evaluation
CONFIDENCE, POSITIVES = "confidence.json", "positives.json"  # there, too, of a model with probabilities
BACKTEST = "backtest.json"  # there, too, if params.yaml asks for one
FOUND = "found.json"  # in build/search
ROW = "_row"  # a column of the tables: the row's number in the source
LIVE = "live"  # in data/: rows that served predictions and their truth made, as CSV in the record's shape
ROW_ID = "row_id"  # the group of a table of which load() numbers the rows
