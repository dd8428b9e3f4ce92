"""What one would write without Slipway: load, validate, fit, score and log, in one process. A baseline.

python benchmarks/plain_script.py DATA_FOLDER MLFLOW_URI
"""

import logging
import os
import sys
import warnings
from pathlib import Path

os.environ["GX_ANALYTICS_ENABLED"] = "false"
warnings.filterwarnings("ignore")

import great_expectations as gx  # noqa: E402
import great_expectations.expectations as gxe  # noqa: E402
import mlflow  # noqa: E402
import pandas as pd  # noqa: E402
from mlflow.models import infer_signature  # noqa: E402
from sklearn.compose import make_column_transformer  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.metrics import accuracy_score, f1_score, log_loss  # noqa: E402
from sklearn.model_selection import GroupShuffleSplit  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import OneHotEncoder, StandardScaler  # noqa: E402

logging.disable(logging.WARNING)
NUMBERS = {
    "Culmen Length (mm)": (25, 70),
    "Culmen Depth (mm)": (10, 25),
    "Flipper Length (mm)": (150, 250),
    "Body Mass (g)": (2000, 7500),
}
CATEGORIES = {"Species": ["Adelie", "Chinstrap", "Gentoo"], "Island": ["Biscoe", "Dream", "Torgersen"]}


def load(folder: Path) -> pd.DataFrame:
    table = pd.read_csv(folder / "penguins-raw.csv", na_values=["NA"], keep_default_na=False)
    table = table[table["Sex"].notna()]
    return table.assign(Species=table["Species"].str.split().str[0])


def validate(table: pd.DataFrame) -> None:
    expectations = [gxe.ExpectTableRowCountToBeBetween(min_value=300)]
    for name, (low, high) in NUMBERS.items():
        expectations.append(gxe.ExpectColumnValuesToNotBeNull(column=name))
        expectations.append(gxe.ExpectColumnValuesToBeOfType(column=name, type_="float64"))
        expectations.append(gxe.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high))
    for name, values in CATEGORIES.items():
        expectations.append(gxe.ExpectColumnValuesToBeInSet(column=name, value_set=values))
    for name in ("Species", "Island", "Sex", "Individual ID", "studyName"):
        expectations.append(gxe.ExpectColumnValuesToNotBeNull(column=name))
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    batch = (
        context.data_sources.add_pandas("pandas")
        .add_dataframe_asset("table")
        .add_batch_definition_whole_dataframe("all")
    )
    table = table.astype(dict.fromkeys(NUMBERS, "float64"))
    result = batch.get_batch({"dataframe": table}).validate(
        gx.ExpectationSuite("suite", expectations=expectations), result_format="SUMMARY"
    )
    assert result.success, result


def main(data: Path, uri: str) -> None:
    table = load(data)
    validate(table)
    features = [*NUMBERS, *CATEGORIES]
    rows = table[features]
    split = GroupShuffleSplit(1, test_size=0.25, random_state=0)
    train, test = next(split.split(rows, groups=table["Individual ID"]))
    columns = make_column_transformer(
        (StandardScaler(), list(NUMBERS)), (OneHotEncoder(handle_unknown="ignore"), list(CATEGORIES))
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(rows.iloc[train], table["Sex"].iloc[train])
    truth, answers = table["Sex"].iloc[test], model.predict(rows.iloc[test])
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("plain")
    with mlflow.start_run():
        mlflow.log_params({"C": 1.0})
        mlflow.log_metrics(
            {
                "accuracy": accuracy_score(truth, answers),
                "macro_f1": f1_score(truth, answers, average="macro"),
                "log_loss": log_loss(truth, model.predict_proba(rows.iloc[test])),
            }
        )
        signature = infer_signature(rows.iloc[train], answers)
        mlflow.sklearn.log_model(model, name="model", signature=signature, registered_model_name="plain")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
