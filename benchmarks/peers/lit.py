"""The same pipeline behind LitServe; PEER_BATCH rows at most are batched."""

import os
from itertools import islice
from typing import Any

import joblib
import litserve
import pandas as pd

BATCH = int(os.environ.get("PEER_BATCH", "1"))


class Api(litserve.LitAPI):
    def setup(self, _device: str) -> None:
        self.model = joblib.load(os.environ["PEER_MODEL"])

    def decode_request(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        return request["rows"]

    def batch(self, inputs: list[list[dict[str, Any]]]) -> Any:
        self.sizes = [len(rows) for rows in inputs]
        return [row for rows in inputs for row in rows]

    def unbatch(self, output: list[list[float]]) -> Any:
        rows = iter(output)
        return [list(islice(rows, size)) for size in self.sizes]

    def predict(self, rows: list[dict[str, Any]]) -> list[list[float]]:
        return self.model.predict_proba(pd.DataFrame(rows)).tolist()

    def encode_response(self, output: list[list[float]]) -> dict[str, Any]:
        return {"probabilities": output}


if __name__ == "__main__":
    api = Api(max_batch_size=BATCH, batch_timeout=0.005) if BATCH > 1 else Api()
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, track_requests=False)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PEER_PORT"]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="error",
    )
