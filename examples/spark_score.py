"""Predictions for a table that Spark reads: spark-submit spark_score.py INPUT OUTPUT BUNDLE (docs/scale.md)."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyspark import SparkFiles
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from slipway.batch import BundleScorer, annotated

given, output, bundle = sys.argv[1:]
spark = SparkSession.builder.appName("slipway").getOrCreate()
table = spark.read.parquet(given)
archive = shutil.make_archive(f"{tempfile.mkdtemp()}/bundle", "zip", bundle)
spark.sparkContext.addArchive(f"{archive}#bundle")  # to all executors


def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Predict for a partition, in an executor."""
    yield from annotated(batches, BundleScorer(Path(SparkFiles.get("bundle"))))


none = pa.RecordBatch.from_pylist([], table.limit(0).toArrow().schema)
(example,) = annotated([none], BundleScorer(Path(bundle)))
table.mapInArrow(score, from_arrow_schema(example.schema)).write.parquet(output)
