"""A field is declared once: added to the schema, it arrives in every view, and nothing else was edited."""

import hashlib
import json
from typing import Annotated

import numpy as np
import pytest
from pydantic import Field, ValidationError

from flowers import Flower, Specimen, flower_problem, flowers
from slipway.contract import features, record
from slipway.model.predictor import Predictor
from slipway.problem import Unit
from slipway.problem.params import Params, Validate
from slipway.stages.prepare import prepare
from slipway.stages.train import train

Thorns = Annotated[float | None, Field(ge=0, le=900, description="Thorns on the stem", examples=[17.5]), Unit("1/m")]


class Thorny(Flower):
    """A flower with one more field."""

    thorns: Thorns = None


class ThornySpecimen(Specimen):
    """Its record."""

    thorns: Thorns = None


def table():
    rows = flowers(200)
    return rows.assign(thorns=np.where(rows["kind"] == "rose", 100.0, 5.0) + np.arange(200) % 90)


PROBLEM = flower_problem(row=Thorny, record=ThornySpecimen, load=lambda folder: table())
PARAMS = Params.model_validate({"gate": {"thresholds": {"accuracy": 0.5}, "champion": {"metric": "accuracy"}}})


@pytest.fixture(scope="module")
def bundle_folder(tmp_path_factory):
    """A bundle that was trained with the field."""
    folder = tmp_path_factory.mktemp("declared")
    (folder / "data").mkdir()
    (folder / "data" / "flowers.csv").write_text("made in memory")
    prepare(PROBLEM, PARAMS.prepare, folder / "data", folder / "table")
    digest = hashlib.sha256((folder / "table" / "train.parquet").read_bytes()).hexdigest()
    (folder / "passed.json").write_text(json.dumps({"train": digest}))
    train(PROBLEM, PARAMS, folder / "table", folder, folder / "bundle")
    return folder / "bundle"


def test_in_the_contract_with_unit_bounds_and_description():
    column = features(PROBLEM)["thorns"]
    assert (column.unit, column.minimum, column.maximum, column.optional) == ("1/m", 0, 900, True)


def test_in_the_expectations_on_the_data():
    from slipway.expectations.derive import of_records

    found = [e for e in of_records(record(PROBLEM), table(), Validate()) if getattr(e, "column", None) == "thorns"]
    assert any(getattr(e, "max_value", None) == 900 for e in found)


def test_in_the_request_model_which_checks_its_bounds():
    model = features(PROBLEM).model()
    with pytest.raises(ValidationError, match="thorns"):
        model.model_validate({**features(PROBLEM).example, "thorns": 901.0})


def test_in_the_arrays_that_the_estimator_is_fitted_on():
    assert features(PROBLEM).arrays(table())["thorns"].tolist()[:2] == table()["thorns"].tolist()[:2]


def test_in_mlflows_signature(bundle_folder):
    from slipway.model.bundle import read_bundle
    from slipway.tracking.model import signature

    column = signature(read_bundle(bundle_folder)).inputs.input_dict()["thorns"]
    assert (column.type.name, column.required) == ("double", False)


def test_in_the_bins_for_drift_and_the_golden_rows(bundle_folder):
    bundle = Predictor.load(bundle_folder).bundle
    assert sum(bundle.reference["features"]["thorns"]["shares"]) == pytest.approx(1)
    assert all("thorns" in row for row in bundle.examples["rows"])


def test_in_the_answer_of_the_model(bundle_folder):
    predictor = Predictor.load(bundle_folder)
    row = predictor.contract.example
    few, many = predictor.predict([{**row, "thorns": 0.0}, {**row, "thorns": 190.0}]).probabilities[:, 1]
    assert many > few


@pytest.fixture(scope="module")
def served(bundle_folder):
    """What the server makes of the bundle."""
    from slipway.serving import Settings, create_app

    app = create_app(Settings(bundle=bundle_folder))
    app.load()
    return app


def test_in_the_services_interface_with_its_example(served):
    text = json.dumps(served.openapi())
    assert "Thorns on the stem" in text
    assert '"thorns": 17.5' in text


def test_in_the_services_decoder_which_checks_its_bounds(served):
    row = served.model.predictor.contract.example
    served.model.rows.decode(json.dumps({**row, "thorns": 3.5}).encode())
    with pytest.raises(Exception, match="thorns"):
        served.model.rows.decode(json.dumps({**row, "thorns": -1}).encode())


def test_in_the_card_that_the_form_on_the_page_is_made_of(served):
    assert served.model.card.content["schema"]["properties"]["thorns"]["unit"] == "1/m"
