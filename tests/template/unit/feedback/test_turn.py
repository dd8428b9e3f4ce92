"""The whole turn: served, kept, judged by the truth, learned from, compared as a shadow, promoted, served."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import numpy as np
import pandas as pd
from click.testing import CliRunner

from checkouts import commit_params, run
from serving.running import Process
from slipway.champion import read_decision
from slipway.cli import main
from slipway.model.bundle import read_bundle
from slipway.workspace import Workspace

ROWS = 120


def later(workspace: Workspace, year: int) -> pd.DataFrame:
    """Birds of a later year, each measured once, with a caliper that reads 2 mm more depth."""
    tables = [pd.read_parquet(workspace.table / name) for name in ("train.parquet", "test.parquet")]
    birds = pd.concat(tables).query("season < 2010").sample(ROWS, random_state=year)
    names = {"individual": [f"{year}-{n}" for n in range(ROWS)], "sample": range(year * 1000, year * 1000 + ROWS)}
    deeper = birds["bill_depth_mm"] + 2 + np.random.default_rng(year).normal(0, 0.1, ROWS).round(2)
    return birds.assign(**names, season=year, bill_depth_mm=deeper)


def serve(workspace: Workspace, birds: pd.DataFrame, kept: Path, truth: Path, **settings: Any) -> None:
    """Have the champion answer these birds in a process of its own, which keeps them; write what is true of them."""
    rows = workspace.features.rows(workspace.features.arrays(birds))
    with Process(workspace.champion / "bundle", predictions=kept, predictions_seconds=600, **settings) as service:
        if "shadow" in settings:
            service.wait("shadow")
        answers = httpx.post(f"{service.url}/predict", json={"rows": rows}, timeout=60).raise_for_status().json()
        while "shadow" in settings and seen(service.url) < ROWS:
            assert not service.events("shadow ended")
            Event().wait(0.05)
        assert service.stop() == 0
    ids = [answer["id"] for answer in answers["predictions"]]
    birds[["sex", "individual", "season", "sample"]].assign(id=ids).to_csv(truth, index=False)


def seen(url: str) -> float:
    """How many rows the shadow has seen: answered or not."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    names = ("slipway_shadow_distance_count", "slipway_shadow_missed_total")
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(names))


def call(workspace: Workspace, *arguments: str) -> str:
    done = CliRunner().invoke(main, ["--root", str(workspace.root), *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def scores(workspace: Workspace) -> dict[str, float]:
    """The accuracy of each role in the last live scores."""
    models = json.loads(workspace.live.read_bytes())["models"]
    return {model["role"]: model["scores"]["accuracy"]["value"] for model in models}


def test_the_loop_turns_once(released, tmp_path):
    released = commit_params(released, "behaviour: true", "behaviour: false")  # others test that check
    first, (kept, truth) = read_decision(released.root), (tmp_path / name for name in ("kept", "truth.csv"))
    where = ("--predictions", str(kept), "--no-track")

    serve(released, later(released, 2026), kept, truth)
    assert f"{ROWS} new rows to learn from" in call(released, "labels", str(truth), *where)
    assert scores(released)["champion"] < 0.85

    said = run(released.root, "slipway", "run", "--no-track")
    assert "data.dvc:" in said
    assert "Verdict: HOLD" in said, "the training rows drifted, so a person would have to decide"

    serve(released, later(released, 2027), kept, truth, shadow=released.bundle, shadow_share=1)
    call(released, "labels", str(truth), *where, "--no-learn")
    assert scores(released)["shadow"] > scores(released)["champion"]

    said = call(Workspace(released.root), "gate", "--live")
    assert f"on {ROWS} live rows" in said
    assert "Verdict: PROMOTE" in said
    run(released.root, "slipway", "promote")
    now = read_decision(released.root)
    assert (now.previous, now.digest) == (first.version, read_bundle(released.bundle).digest)
    with Process(released.champion / "bundle", expected=now.digest) as service:
        assert httpx.get(f"{service.url}/model").json()["version"] == now.version
