"""Queries and databases that cannot be used, and values that change their type: an error each, without a password."""

from __future__ import annotations

import re
import sqlite3
from decimal import Decimal

import pandas as pd
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from batch.conftest import ROWS, read, table
from batch.databases import ALL, ask, clear, fill, rows_of
from postgres import PASSWORD
from slipway.cli import main
from slipway.problem import SlipwayError

pytestmark = pytest.mark.xdist_group("postgres")


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELEC 1", 'query failed: syntax error at or near "SELEC"'),
        ("SELECT * FROM flower", 'query failed: relation "flower" does not exist'),
        ("DELETE FROM flowers", "query failed|gives no rows; it must be a SELECT"),
        ("SELECT * FROM flowers WHERE false", "query: there are no rows"),
        ("SELECT 1 AS a, 2 AS a", "query: columns of the same name: 'a'"),
        (
            "SELECT site FROM flowers",
            r"query: lacks the column.* height, leaves, potted, .*; it has site. Name columns as the fields",
        ),
        ("SELECT *, height::text AS h, 1 AS prediction FROM flowers", "query: prediction: columns that predict adds"),
        ("SELECT *, 1/(leaves-leaves) AS x FROM flowers", "(failed|lost).*: division by zero"),
    ],
)
def test_a_query_that_cannot_be_used_is_an_error(sql, words, postgres, scorer, tmp_path):
    clear(postgres.url)
    fill(postgres.url, table().to_pandas())
    with pytest.raises(SlipwayError, match=words):
        ask(postgres.url, sql, tmp_path / "out.parquet", scorer)
    assert not (tmp_path / "out.parquet").exists()
    assert len(rows_of(postgres.url, "flowers")) == ROWS


def test_a_column_whose_values_change_their_type_is_an_error_and_not_cut(scorer, tmp_path, many_batches):
    sqlite3.connect(tmp_path / "shop.db").close()
    fill(f"sqlite:///{tmp_path}/shop.db", table().to_pandas())
    sql = "SELECT *, CASE WHEN code > '00150' THEN 2.5 ELSE 1 END AS size FROM flowers ORDER BY code"
    with pytest.raises(SlipwayError, match=r"query: size: not only int64 from row 140 on .*by CAST"):
        ask(f"sqlite:///{tmp_path}/shop.db", sql, tmp_path / "out.parquet", scorer)


def test_columns_of_other_types_are_carried_over_as_text(postgres, scorer, tmp_path):
    clear(postgres.url)
    fill(postgres.url, table().to_pandas())
    others = """'{"a": [1]}'::jsonb AS j, '{x,y}'::text[] AS l, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS u,
        1.50::numeric AS n, '1 day'::interval AS i, NULL AS nothing"""
    ask(postgres.url, f"SELECT *, {others} FROM flowers ORDER BY code LIMIT 1", tmp_path / "out.parquet", scorer)
    (row,) = read(tmp_path / "out.parquet").to_dict("records")
    assert pd.isna(row["nothing"])
    told = {name: row[name] for name in ("j", "l", "u", "n", "i")}
    assert told == {
        "j": '{"a": [1]}',
        "l": '["x", "y"]',
        "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "n": Decimal("1.50"),
        "i": "1 day, 0:00:00",
    }


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://{0}x@127.0.0.1:{1}/postgres", "cannot be reached: .*authentication failed"),
        ("postgresql://{0}@127.0.0.1:1/postgres", "cannot be reached: .*refused"),
        ("postgresql://{0}@127.0.0.1:{1}/no?application_name={0}", 'cannot be reached: .*"no" does not exist'),
        ("postgresql://{0}@127.0.0.1:port/postgres", "--database: not a URL such as"),
        ("no-url:{0}", "--database: not a URL such as"),
        ("stranger://{0}@127.0.0.1/db", "no driver for this database"),
        ("sqlite:///no.db", "sqlite:///no.db: no such file"),
    ],
)
def test_a_database_that_cannot_be_used_is_an_error_without_its_password(url, words, postgres, bundle, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", url.format(f"postgres:{PASSWORD}", sa.make_url(postgres.url).port))
    done = CliRunner().invoke(main, ["predict", "--sql", ALL, "table:predicted", "--bundle", str(bundle)])
    assert done.exit_code == 1
    assert re.search(words, done.stderr), done.stderr
    assert PASSWORD not in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sql", ALL, "in.csv", "out.csv"], "or --sql QUERY and OUTPUT"),
        (["in.csv"], "give INPUT and OUTPUT"),
        (["--sql", ALL, "out.csv"], "need --database URL"),
        (["in.csv", "table:predicted"], "need --database URL"),
    ],
)
def test_arguments_that_do_not_fit_are_told(arguments, words, bundle, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    done = CliRunner().invoke(main, ["predict", *arguments, "--bundle", str(bundle)])
    assert (done.exit_code, words in done.stderr) == (2, True), done.output


@pytest.mark.parametrize(("output", "words"), [("parts", "needs files as INPUT"), ("table:predicted", "as a whole")])
def test_a_run_over_a_query_or_into_a_table_is_not_resumed(output, words, postgres, bundle, tmp_path):
    clear(postgres.url)
    fill(postgres.url, table().to_pandas())
    given = output if output.startswith("table:") else str(tmp_path / output)
    arguments = ["--sql", ALL, "--database", postgres.url, given, "--bundle", str(bundle), "--resume"]
    done = CliRunner().invoke(main, ["predict", *arguments])
    assert (done.exit_code, words in done.stderr) == (1, True), done.output


def test_the_command_predicts_from_table_to_table(postgres, bundle):
    clear(postgres.url)
    fill(postgres.url, table().to_pandas())
    arguments = ["--sql", ALL, "--database", postgres.url, "table:predicted", "--bundle", str(bundle)]
    done = CliRunner().invoke(main, ["predict", *arguments])
    assert done.exit_code == 0, done.output
    assert "table:predicted by model" in done.output
    assert len(rows_of(postgres.url, "predicted")) == ROWS
