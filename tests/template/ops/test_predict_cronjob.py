"""The CronJob of the nightly predictions, as far as it can be judged without a cluster."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest

from ops.manifests import ROOT, of_kind, render
from slipway.cli import main, predict


@pytest.fixture
def nightly() -> dict[str, Any]:
    """The pod of the nightly predictions."""
    job = of_kind(render("production", ("predict",)), "CronJob")["spec"]
    assert job["concurrencyPolicy"] == "Forbid"
    template: dict[str, Any] = job["jobTemplate"]["spec"]["template"]
    return template


def test_nightly_predictions_are_the_champions_that_the_overlay_serves(nightly):
    (champion,), (container,) = nightly["spec"]["initContainers"], nightly["spec"]["containers"]
    (serving,) = of_kind(render("production"), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert champion["image"] == serving["image"]
    dockerfile = (ROOT / "stack/predict/Dockerfile").read_text()
    entrypoint = json.loads(re.search(r"^ENTRYPOINT (.*)$", dockerfile, re.MULTILINE)[1])
    assert entrypoint[:4] == ["python", "-m", "slipway", "predict"]
    given = main.commands["predict"].make_context("predict", [*entrypoint[4:], *container["args"]]).params
    assert entrypoint[-1] in champion["command"][-1]  # where the image that serves has its bundle
    assert str(given["bundle"]) in champion["command"][-1]
    (copied,) = champion["volumeMounts"]
    assert {"readOnly": True, **copied} in container["volumeMounts"]
    assert given["threads"] == math.ceil(float(container["resources"]["limits"]["cpu"]))
    options = {one.envvar for one in main.commands["predict"].params}
    assert {one["name"] for one in container["env"]} <= options | {predict.KEY}


def test_nightly_predictions_reach_files_databases_and_the_pushgateway_and_are_reached_by_nobody(nightly):
    manifests = render("production", ("predict",))
    labels = nightly["metadata"]["labels"]
    policy = of_kind(manifests, "NetworkPolicy", "slipway-predict")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert {port["port"] for way in policy["egress"] for port in way["ports"]} == {443, 5432, 9091, 53}
    assert "ingress" not in policy
    assert not of_kind(manifests, "Service")["spec"]["selector"].items() <= labels.items()
    claim = of_kind(manifests, "PersistentVolumeClaim")["metadata"]["name"]
    claims = [
        one["persistentVolumeClaim"]["claimName"]
        for one in nightly["spec"]["volumes"]
        if "persistentVolumeClaim" in one
    ]
    assert claims == [claim]
