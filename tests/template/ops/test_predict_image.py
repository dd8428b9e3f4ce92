"""The image of `slipway predict`: the one that serves, and what files and databases need, run without a network."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import grimp
import pandas as pd
import pytest
from click.testing import CliRunner

from batch.conftest import read, store, table
from ops.engine import BASE, HARDENED, ROOT, context, docker, inspect, make_image, need_engine, run
from serving import bundles
from slipway.cli import main

SERVING, PREDICTING = "slipway-test:serving", "slipway-test:predict"
IN_THE_IMAGE = """
import importlib.metadata, json, pathlib
files = [str(path.relative_to("/opt/predict")) for path in pathlib.Path("/opt/predict/slipway").rglob("*.py")]
packages = [item.name.lower().replace("_", "-") for item in importlib.metadata.distributions()]
print(json.dumps({"files": files, "packages": packages}))
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle in both images."""
    need_engine()
    folder = tmp_path_factory.mktemp("served")
    bundles.write(folder / "bundle", runtime="onnx")
    (folder / "checkout").mkdir()
    checkout = context(folder / "checkout", folder / "bundle")
    make_image(checkout, SERVING)
    names = (f"IMAGE={SERVING}", f"PREDICT_IMAGE={PREDICTING}", f"BASE={BASE}")
    run("make", "-o", "image", "predict-image", *names, cwd=checkout)
    return folder / "bundle"


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder of this machine that the image's user may write to."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    return tmp_path / "shared"


def predict(shared: Path, *arguments: str) -> str:
    """Predict in the image, as a cluster runs it."""
    volume = ("--volume", f"{shared}:/shared")
    return docker("run", "--rm", *HARDENED, "--network", "none", *volume, PREDICTING, *arguments)


def known(path: Path) -> pd.DataFrame:
    """Predictions without their ids, which are other ones in each run."""
    return read(path).drop(columns="prediction_id")


def test_the_image_predicts_as_the_command_in_a_checkout_does(served, shared, tmp_path):
    given = store(table().set_column(2, "height", [[99.0, *[0.2] * (len(table()) - 1)]]), shared / "in.csv")
    predict(shared, "/shared/in.csv", "/shared/out.csv")
    done = CliRunner().invoke(main, ["predict", str(given), str(tmp_path / "out.csv"), "--bundle", str(served)])
    assert done.exit_code == 0, done.output
    pd.testing.assert_frame_equal(known(shared / "out.csv"), known(tmp_path / "out.csv"))
    listed, here = (pd.read_csv(folder / "out.csv.rejected") for folder in (shared, tmp_path))
    assert len(listed) == 1
    pd.testing.assert_frame_equal(listed.drop(columns="file"), here.drop(columns="file"))


def test_the_image_reads_a_database(served, shared):
    with closing(sqlite3.connect(shared / "day.db")) as database:
        table().to_pandas().to_sql("flowers", database, index=False)
    (shared / "day.db").chmod(0o666)
    url = "sqlite:////shared/day.db"
    predict(shared, "--sql", "SELECT * FROM flowers", "--database", url, "/shared/out.parquet")
    assert len(known(shared / "out.parquet")) == len(table())


def test_it_is_the_image_that_serves_with_what_predict_reaches_on_top(served):
    below, layers = (inspect(image)["RootFS"]["Layers"] for image in (SERVING, PREDICTING))
    assert layers[: len(below)] == below
    assert inspect(PREDICTING)["Config"]["User"] == "65532:65532"
    found = json.loads(
        docker("run", "--rm", "--network", "none", "--entrypoint", "python", PREDICTING, "-c", IN_THE_IMAGE)
    )
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in found["files"]}
    reached = grimp.build_graph("slipway").find_upstream_modules("slipway.batch", as_package=True)
    assert reached - modules == set()
    locks = ("requirements.txt", "stack/predict/requirements.txt")
    text = "".join((ROOT / lock).read_text("utf-8") for lock in locks)
    locked = {name.lower() for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
    assert set(found["packages"]) <= locked | {"slipway"}
