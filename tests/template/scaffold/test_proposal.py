"""What is proposed for a whole table, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from slipway.problem import SlipwayError
from slipway.scaffold import draft
from slipway.scaffold.evidence import function
from slipway.scaffold.proposal import propose
from slipway.scaffold.table import read_table
from strangers import public, reviews, sales, write


@pytest.fixture
def table(tmp_path):
    def written(rows: pd.DataFrame, name="table.csv"):
        return read_table(write(rows, tmp_path / "rows" / name))

    return written


@pytest.fixture(params=["sales.csv", "sales.tsv", "sales.parquet"])
def houses(request, table):
    return draft(table(sales(), request.param), "price", name="houses")


def test_what_is_no_feature_is_named_with_what_was_done(houses):
    said = dict(houses.findings)
    assert said["house_id"].startswith("the group, it looks like an identifier: 255 in 600 rows")
    assert said["sale_id"] == "identifies rows: left out"
    assert said["sold_on"].startswith("dates, 2019-01-01 to 2020-08-22;")
    assert said["currency"] == "one value in every row: left out"
    assert said["area_sqft"] == "says the same as 'Living Area (m2)': left out"
    assert said["price_in_cent"].startswith("alone predicts 'price' with a score of 0.99")
    assert said["zip"] == "whole numbers that look like a code: kept as text, as they are written"


def test_what_is_declared_is_what_load_gives(houses):
    rows = pd.concat([houses.evidence.train, houses.evidence.test])
    assert houses.proposal.row.names == ("zip", "sold_on", "living_area_m2", "built", "country", "heating")
    assert set(rows["zip"]) == {"01067", "10115", "20095", "80331", "04109"}
    assert set(rows["country"]) == {"DE", "AT", "NA"}
    assert rows["built"].isna().sum() == houses.proposal.features[3].absent > 0
    for column in houses.proposal.record.columns:
        values = rows[column.name].dropna()
        assert set(values) <= set(column.categories or values)
        values = column.array(values) if column.temporal else values
        assert column.minimum is None or (values >= column.minimum).all()
        assert column.maximum is None or (values <= column.maximum).all()


@pytest.mark.parametrize("name", ["sales.csv", "sales.parquet"])
def test_numbers_written_for_people_are_read_and_what_is_none_is_left_to_validation(table, name, tmp_path):
    rows = sales()
    written = rows.assign(price=[f"$ {price:,.0f}" for price in rows["price"]])
    found = draft(table(written, name), "price", name="houses")
    loaded = pd.concat([found.evidence.train, found.evidence.test]).sort_index()
    assert loaded["price"].tolist() == rows["price"].round().tolist()
    written.loc[0:1, "price"] = ["$ 1,5", "3 kg"]
    path = write(written, tmp_path / "later" / name)
    again = function(found.files["src/project/data.py"], "load")(path.parent)
    assert again["price"].tolist()[:2] == ["1,5", "3 kg"]


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_blanks_around_cells_are_taken_away(table, name, tmp_path):
    rows = sales()
    rows["country"] = [f"{code} " if number % 3 else f" {code}" for number, code in enumerate(rows["country"])]
    rows.loc[5, "country"] = "  "
    found = draft(table(rows, name), "price", name="houses")
    assert found.proposal.record["country"].categories == ("AT", "DE", "NA")
    loaded = function(found.files["src/project/data.py"], "load")(tmp_path / "rows")
    assert set(loaded["country"].dropna()) == {"AT", "DE", "NA"}
    assert loaded["country"].isna().sum() == 1


def test_categories_that_differ_only_in_case_are_told(table):
    rows = sales().assign(country=["DE", "de", "AT"] * 200)
    said = dict(draft(table(rows), "price", name="houses").findings)
    assert said["country"].startswith("'DE', 'de' differ only in case")


@pytest.mark.parametrize("name", ["sales.csv", "sales.parquet"])
def test_dates_are_read_as_they_are_written_and_their_parts_are_what_the_model_sees(table, name):
    random = np.random.default_rng(1)
    moments = pd.Timestamp("2018-06-01 10:00") + pd.to_timedelta(random.integers(0, 500 * 86400, 600), unit="s")
    days = moments.normalize().where(np.arange(600) % 9 > 0)
    typed = name.endswith("parquet")
    rows = sales().assign(
        listed=moments if typed else moments.strftime("%Y-%m-%d %H:%M:%S"),
        seen=days if typed else days.strftime("%d.%m.%Y"),
    )
    found = draft(table(rows, name), "price", name="houses")
    loaded = pd.concat([found.evidence.train, found.evidence.test]).sort_values("_row")
    assert loaded["listed"].tolist() == moments.strftime("%Y-%m-%dT%H:%M:%SZ").tolist()
    assert loaded["seen"].isna().sum() == 67
    derive = function(found.files["src/project/features.py"], "features")
    derived = pd.DataFrame(derive(found.proposal.row.arrays(loaded)))
    assert derived["listed_hour"].tolist() == moments.hour.tolist()
    assert derived["listed_weekday"].tolist() == moments.day_of_week.tolist()
    assert derived["listed_month"].tolist() == moments.month.tolist()
    pd.testing.assert_series_equal(derived["seen_month"], pd.Series(days.month, name="seen_month"), check_dtype=False)
    assert not {"listed", "seen", "sold_on"} & set(derived)
    assert "datetime, Field(ge=datetime(2017, 1, 1, tzinfo=UTC)" in found.files["src/project/schema.py"]


def test_a_table_in_which_nothing_identifies_has_a_group_for_each_row(table):
    found = draft(table(public("iris")), "target", name="flowers")
    assert found.proposal.group is None
    assert 'table["row_id"] = table.index' in found.files["src/project/data.py"]
    assert dict(found.findings)["row_id"].startswith("no column says which rows belong together")


def test_thresholds_start_from_what_a_constant_prediction_reaches(table):
    found = draft(table(public("wine")), "target", name="wine")
    assert [(one.metric, one.value) for one in found.evidence.thresholds] == [
        ("accuracy", 0.45), ("macro_f1", 0.27), ("log_loss", 0.977),
    ]  # fmt: skip
    assert "accuracy: 0.45  # always saying class_1 reaches 0.399" in found.files["params.yaml"]


def test_a_direction_is_tested_where_the_data_and_the_proposed_model_agree_and_told_where_they_do_not(table):
    random = np.random.default_rng(0)
    size = random.normal(10, 2, 300)
    near = size + random.normal(0, 1, 300)
    rows = pd.DataFrame({"size": size.round(3), "near": near.round(3), "price": (3 * size - near).round(2) + 50})
    found = draft(table(rows), "price", name="prices")
    tests = found.files["tests/model/test_behaviour.py"]
    assert "('size', 3, 1),  # rank correlation with price: +0.9" in tests
    assert "('near'" not in tests
    assert dict(found.findings)["near"].endswith("but not in the proposed model: no test")


def test_a_direction_is_tested_with_rows_that_the_schema_allows(table):
    tenure = np.resize(np.arange(73), 400)
    rows = pd.DataFrame({"tenure": tenure, "price": tenure * 2.0 + np.random.default_rng(0).normal(0, 9, 400).round(2)})
    found = draft(table(rows), "price", name="prices")
    assert "('tenure', 40, 1)" in found.files["tests/model/test_behaviour.py"]  # more than its bound has room for
    raised = function(found.files["tests/model/test_behaviour.py"], "raised")
    test = found.evidence.test
    moved = raised(SimpleNamespace(contract=found.proposal.row), test, {"tenure": 40})
    assert test["tenure"].max() + 40 > found.proposal.row["tenure"].maximum == moved["tenure"].max()


@pytest.mark.parametrize("share", [0.03, 0.4], ids=["rare", "common"])
def test_a_typical_row_has_the_truth_value_that_is_frequent_there(table, share):
    random = np.random.default_rng(0)
    heated = random.random(400) < share
    rows = pd.DataFrame({"size": random.normal(50, 5, 400).round(1), "heated": heated})
    rows["price"] = (rows["size"] * 5 + 50 * heated + random.normal(0, 20, 400)).round(2)
    found = draft(table(rows), "price", name="prices")
    low = found.files["tests/model/test_behaviour.py"].partition("low")[2]
    assert low.partition("'heated': ")[2].startswith("False")


def test_texts_are_read_word_by_word(table):
    found = draft(table(reviews()), "stars", name="reviews")
    assert "TfidfVectorizer(max_features=5000), 'review'" in found.files["src/project/model.py"]
    assert "lovely" in found.files["tests/model/test_behaviour.py"]


def test_a_drop_and_a_group_that_are_asked_for_are_taken(table):
    found = propose(table(sales()), "price", "houses", group="zip", drop=["heating"])
    assert found.group.recorded == "zip"
    assert "heating" not in found.row.names


def test_an_identifier_that_is_dropped_is_no_group_either(table):
    found = propose(table(sales().drop(columns=["sale_id"])), "price", "houses", drop=["house_id"])
    assert found.group is None
    assert found.unused["house_id"] == "dropped, as asked"


def test_a_target_that_is_mostly_zero_is_a_number_like_any_other(table):
    rows = pd.DataFrame({"age": [n // 2 for n in range(40, 240)], "years": [0] * 120 + list(range(80))})
    assert draft(table(rows), "years", name="years").evidence.thresholds[0].metric == "r2"


def test_rows_of_a_group_that_differ_in_an_unused_column_alone_are_numbered(table):
    rows = sales().drop(columns=["sale_id", "price_in_cent"]).sort_values("house_id")
    rows = pd.concat([rows, rows[:5].assign(sold_on="2021-01-01")])
    found = draft(table(rows), "price", name="houses", drop=["sold_on"])
    assert (found.proposal.group.recorded, found.proposal.numbered) == ("house_id", True)
    assert dict(found.findings)["row_id"].startswith("5 rows are as an earlier one in all columns that are used")
    assert "row_id: Annotated[int" in found.files["src/project/schema.py"]


def test_rows_that_are_copies_under_another_identifier_are_told_before_the_pipeline_refuses_them(table):
    rows = pd.concat([public("diabetes")] * 2)
    found = draft(table(rows), "target", name="diabetes")
    assert dict(found.findings)["all columns"].startswith("73% of the test rows have the features of a training row")


def test_rows_without_a_target_and_of_rare_classes_are_left_out_and_named(table):
    rows = public("iris").astype({"target": "object"})
    rows.loc[:9, "target"] = None
    rows.loc[10:12, "target"] = "odd"
    found = draft(table(rows), "target", name="flowers")
    assert len(found.evidence.train) + len(found.evidence.test) == 137
    said = [text for column, text in found.findings if column == "target"]
    assert said == [
        "'odd' with fewer than 5 rows: these rows are left out",
        "missing in 10 rows: these rows are left out",
    ]


def _iris(**changes):
    return public("iris").assign(**changes)


TARGETS = {
    "one class": (lambda: _iris(target="setosa"), "is 'setosa' in every row"),
    "a constant number": (lambda: _iris(target=1.5), "is '1.5' in every row"),
    "free text": (lambda: _iris(target=[f"flower number {n}" for n in range(150)]), "is free text"),
    "dates": (lambda: _iris(target=pd.date_range("2024-01-01", periods=150).astype("str")), "holds dates"),
    "empty": (lambda: _iris(target=""), "is empty in every row"),
    "no such column": (lambda: public("iris").rename(columns={"target": "targets"}), "did you mean targets?"),
    "one that all tell": (
        lambda: _iris()[["target"]].assign(code=lambda t: t["target"].str[:2]),
        "gives the target away",
    ),
    "dates in three ways": (
        lambda: _iris(when=np.resize(["2024-01-31", "31.01.2024", "01/31/2024"], 150)),
        "writes dates in 3 ways (2024-01-31, 01/31/2024, 31.01.2024)",
    ),
}


@pytest.mark.parametrize("case", TARGETS)
def test_what_cannot_be_predicted_is_refused_in_a_sentence(table, case):
    make, words = TARGETS[case]
    with pytest.raises(SlipwayError) as refused:
        draft(table(make()), "target", name="flowers")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_with_a_time_the_newest_rows_are_the_test_set_and_the_time_is_no_feature(table):
    found = draft(table(sales()), "price", name="houses", time="sold_on")
    assert "sold_on" not in found.proposal.row.names
    assert found.proposal.record["sold_on"].kind == "date"
    assert found.evidence.train["sold_on"].max() < found.evidence.test["sold_on"].min()
    assert "time='sold_on'," in found.files["src/project/__init__.py"]
    assert yaml.safe_load(found.files["params.yaml"])["prepare"] == {"split": "time", "test_share": 0.25}
    assert "sold_on: Annotated[" in found.files["src/project/schema.py"].partition("Record(")[2]
    assert dict(found.findings)["sold_on"].startswith(
        "the time: the newest rows are the test set, and it is no feature"
    )


def test_with_a_time_and_a_group_both_divide_the_rows(table):
    found = draft(table(sales()), "price", name="houses", time="sold_on", group="house_id")
    assert yaml.safe_load(found.files["params.yaml"])["prepare"]["split"] == "group_and_time"
    assert not set(found.evidence.train["house_id"]) & set(found.evidence.test["house_id"])
    assert found.evidence.train["sold_on"].max() < found.evidence.test["sold_on"].min()


def test_a_column_is_found_by_the_name_of_its_field_too(table):
    found = draft(table(sales().rename(columns={"sold_on": " Sold On "})), "Price", name="houses", time="sold on")
    assert found.proposal.time.recorded == " Sold On "
    assert found.proposal.target.recorded == "price"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"time": "sold"}, r"there is no column 'sold'; did you mean sold_on"),
        ({"time": "price"}, "a column is the target, the group, the time or dropped, and only one of these"),
        ({"time": "sold_on", "drop": ["sold_on"]}, "a column is the target, the group, the time or dropped"),
        ({"time": "country"}, "the time 'country' holds no dates or numbers"),
        ({"time": "built"}, "the time 'built' is missing in .* rows; every row needs one"),
    ],
)
def test_a_column_that_cannot_order_the_rows_is_refused(table, options, words):
    with pytest.raises(SlipwayError, match=words):
        draft(table(sales()), "price", name="houses", **options)
