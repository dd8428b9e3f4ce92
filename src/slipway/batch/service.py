"""A running service that predicts, asked over Arrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from httpx import TransportError

from slipway.batch.checking import to_arrow
from slipway.batch.scorers import Scored
from slipway.client import Client, ServiceError
from slipway.contract import Array, Contract, Label
from slipway.http import Service
from slipway.model.ids import version_in
from slipway.model.predictor import Predictions, label_name
from slipway.problem import SlipwayError

REQUEST_ROWS = 5000  # half of what a service takes by default
REQUESTS = 4  # at a time
RETRIES, PATIENCE = 8, 30.0  # while it is overloaded or restarts: about a minute in all


class ServiceScorer:
    """A running service, asked over Arrow."""

    def __init__(self, url: str, *, key: str | None = None) -> None:
        """Ask the service for its schema. Raises SlipwayError if it does not answer."""
        self._url = url
        about = Service(url, key=key).ask("/model")
        if about.status != 200 or about.at("schema") is None:
            raise SlipwayError(f"{url}: {about.status or 'no answer'}: {about.content}")
        self.contract, self.version = Contract.from_schema(about.content["schema"]), about.content["version"]
        self.classes: Sequence[Label] = about.content["classes"]
        self.reference: Mapping[str, Any] = {}
        self._client = Client(url, key=key, timeout=60, retries=RETRIES, patience=PATIENCE)

    def score(self, arrays: Mapping[str, Array]) -> Scored:
        """Predict, in requests of REQUEST_ROWS rows. Raises SlipwayError if it refuses or changes its model."""
        if not len(next(iter(arrays.values()))):
            one = self.score(self.contract.arrays([self.contract.example]))
            shaped = None if one.predictions.probabilities is None else one.predictions.probabilities[:0]
            return Scored(Predictions(one.predictions.values[:0], shaped, tuple(self.classes)), one.ids.slice(0, 0))
        table = pa.table({column.name: to_arrow(column, arrays[column.name]) for column in self.contract.columns})
        starts = range(0, table.num_rows, REQUEST_ROWS)
        with ThreadPoolExecutor(REQUESTS) as pool:
            answers = list(pool.map(lambda start: self._answer(table.slice(start, REQUEST_ROWS)), starts))
        answer = pa.concat_tables(answers)
        names = [f"probability_{label_name(label)}" for label in self.classes]
        if not names:
            return Scored(Predictions(answer["value"].to_numpy(), None, ()), answer["id"].combine_chunks())
        values = pc.index_in(answer["label"], pa.array(list(self.classes))).to_numpy().astype(np.int64)
        given = [answer[name].to_numpy() for name in names if name in answer.schema.names]
        shaped = np.column_stack(given) if given else None
        return Scored(Predictions(values, shaped, tuple(self.classes)), answer["id"].combine_chunks())

    def _answer(self, table: Any) -> Any:
        try:
            answer = self._client.predict_table(table, REQUEST_ROWS)
        except (ServiceError, TransportError) as error:
            raise SlipwayError(f"{self._url}: {error}") from None
        version = version_in(answer["id"][0].as_py())
        if version != self.version:
            raise SlipwayError(f"{self._url}: the model changed from {self.version} to {version} meanwhile")
        return answer
