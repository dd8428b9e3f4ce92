"""What tutorials show: FastAPI, a Pydantic model, a pandas table, the scikit-learn pipeline."""

import json
import os
from typing import Any

import joblib
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel, create_model

columns = json.loads(os.environ["PEER_COLUMNS"])
model = joblib.load(os.environ["PEER_MODEL"])
Row = create_model("Row", **{name: (float if kind == "float64" else str, ...) for name, kind in columns.items()})


class Rows(BaseModel):
    rows: list[Row]  # type: ignore[valid-type]


app = FastAPI()


@app.post("/predict")
def predict(body: Rows) -> dict[str, Any]:
    table = pd.DataFrame([row.model_dump() for row in body.rows])
    return {"predictions": model.predict(table).tolist(), "probabilities": model.predict_proba(table).tolist()}
