"""One page that shows a run: for a browser, for a pull request, and as a model card for the Hugging Face Hub."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from slipway.champion import BUNDLE, Decision, read_decision
from slipway.evaluation import plots
from slipway.evaluation.charts import calibration_chart, slices_chart
from slipway.evaluation.drift import drift
from slipway.evaluation.intervals import direction
from slipway.lineage import FACTS, differing, parameters
from slipway.model.bundle import Bundle, read_bundle
from slipway.problem import SlipwayError
from slipway.problem.files import BACKTEST, FOUND, METRICS, SLICES, TRAIN
from slipway.versioning import find_commit, git
from slipway.workspace import Workspace

MODEL_CARD = "MODEL_CARD.md"
PICTURES = (
    *("confusion", "calibration", "predicted", "importance", "slices", "decision", "backtest"),
    *("search-history", "search-importance"),
)


def write_report(workspace: Workspace) -> list[Path]:
    """Write `build/report.html`, which needs no other file, `report.md` and `MODEL_CARD.md`; give their paths.

    Raises SlipwayError if the candidate, its evaluation or the verdict is missing, or the verdict is another one's.
    """
    run = gather(workspace)
    environment = Environment(
        loader=PackageLoader("slipway", "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = lambda value: "" if value is None else format(value, ".4g")
    environment.filters["signed"] = lambda value: "" if value is None else format(value, "+.4g") if value else "0"
    environment.filters["quoted"] = lambda text: " ".join(str(text).replace('"', "'").replace("`", "'").split())
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    environment.filters["yaml"] = _yaml
    written = []
    for name in ("report.html", "report.md", MODEL_CARD):
        path = workspace.root / "build" / name
        path.write_text(environment.get_template(name).render(run=run), "utf-8")
        written.append(path)
    write_for_gitlab(workspace.root / "build", run["verdict"])
    return written


def _yaml(value: Any) -> str:
    """Write a text or a number in the front matter of the model card."""
    text = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=1_000_000)
    return str(text).strip().removeprefix("[").removesuffix("]")


def write_for_gitlab(folder: Path, verdict: dict[str, Any]) -> None:
    """Write the checks of the gate as tests (JUnit), and the scores (OpenMetrics): a merge request shows both."""
    suite = ElementTree.Element("testsuite", name="gate")
    for reason in verdict["reasons"]:
        case = ElementTree.SubElement(suite, "testcase", classname="gate", name=reason["check"])
        if kind := {"fail": "failure", "hold": "skipped"}.get(reason["outcome"]):
            ElementTree.SubElement(case, kind, message=reason["detail"]).text = reason["detail"]
    ElementTree.ElementTree(suite).write(folder / "gate.xml", encoding="utf-8")
    lines = []
    for metric, value in verdict["metrics"].items():
        name, _, label = metric.partition(".")
        lines.append(f"{name}{{class={json.dumps(label)}}} {value:.6g}" if label else f"{name} {value:.6g}")
    (folder / "metrics.txt").write_text("\n".join([*lines, "# EOF", ""]), "utf-8")


def gather(workspace: Workspace) -> dict[str, Any]:
    """Read the files of the last run, as the templates show them. Raises SlipwayError if one is missing."""
    bundle = read_bundle(workspace.bundle)
    verdict = workspace.read_verdict()
    if verdict["candidate"] != bundle.digest:
        raise SlipwayError(f"{workspace.verdict} was given of another candidate; run `slipway gate` again")
    decision = read_decision(workspace.root)
    folder = workspace.champion if decision and workspace.champion.exists() else None
    champion = read_bundle(folder / BUNDLE, expected=decision.digest) if folder and decision else None
    slices = workspace.read(workspace.evaluation / SLICES)
    headline = next(iter(slices[0]["scores"]), "") if slices else ""
    for item in slices:
        item |= _change(headline, verdict.get("slices", {}), item["slice"])
    rows, changes = data_changes(workspace, champion)
    metrics = workspace.read(workspace.evaluation / METRICS)
    searched = _searched(workspace)
    folders = (workspace.evaluation, workspace.search) if searched else (workspace.evaluation,)
    return {
        "bundle": bundle,
        "champion": champion,
        "verdict": verdict,
        "metrics": [{"name": name, **score, **_change(name, verdict["comparison"])} for name, score in metrics.items()],
        "slices": slices,
        "headline": headline,
        "windows": workspace.read(path) if (path := workspace.evaluation / BACKTEST).exists() else [],
        "compared_by": workspace.params.gate.champion.metric,
        "changes": changes,
        "rows": rows,
        "live": _live(workspace, champion),
        "differs": _differing(workspace.root, bundle, champion, decision),
        "lineage": _lineage(workspace, bundle, champion) | searched,
        "pictures": {
            name: _picture(at / f"{name}.svg") for at in folders for name in PICTURES if (at / f"{name}.svg").exists()
        }
        | _both_calibrations(verdict),
        "charts": [
            *slices_chart(headline, slices, metrics),
            *calibration_chart(workspace.evaluation / "calibration.csv"),
        ],
    }


def _differing(
    root: Path, bundle: Bundle, champion: Bundle | None, decision: Decision | None
) -> dict[str, tuple[Any, Any]]:
    """Give what differs between candidate and champion: data, versions, features, and parameters if they are known."""
    if champion is None or decision is None:
        return {}
    now, before = (one.manifest.model_dump(include=set(FACTS)) for one in (bundle, champion))
    if decision.commit and find_commit(root, decision.commit):  # a shallow clone may lack it
        now, before = now | parameters(root, None), before | parameters(root, decision.commit)
    return differing(now, before)


def _live(workspace: Workspace, champion: Bundle | None) -> dict[str, Any] | None:
    """Read what `slipway labels` found last, if that was about this champion."""
    content: dict[str, Any] = workspace.read(workspace.live) if workspace.live.exists() else {}
    return content if champion and content.get("champion") == champion.version else None


def data_changes(workspace: Workspace, champion: Bundle | None) -> tuple[int, list[dict[str, Any]]]:
    """Give the number of training rows, and how each feature moved since the champion's training.

    A feature that the champion does not have, or has as another kind, has no PSI.
    """
    table = pd.read_parquet(workspace.table / TRAIN)
    names, arrays = workspace.features.names, workspace.features.arrays(table)
    if champion is None:
        return len(table), []
    groups = table.groupby(list(workspace.problem.groups), dropna=False).ngroups
    same = [one for one in champion.contract.columns if one.name in names and one.dtype == arrays[one.name].dtype]
    compared = len(names) + 1  # with the target, as the gate compares
    found = [drift(champion.reference, one, arrays[one.name], groups, compared) for one in same]
    known = {one.name: {"psi": one.psi, "moved": one.psi > one.limit} for one in found}
    return len(table), [{"feature": name, "psi": None, "moved": False, **known.get(name, {})} for name in names]


def _change(score: str, differences: dict[str, Any], key: str | None = None) -> dict[str, Any]:
    """Give the difference from the champion, of all rows or of a slice, and whether it is better or worse."""
    difference = differences.get(key or score)
    moved = direction(score, difference["low"], difference["high"]) if difference else ""
    return {"difference": difference, "moved": moved}


def _options(bundle: Bundle) -> dict[str, str]:
    """Describe the split by time and the decision threshold, where there is one."""
    split, decision, found = bundle.manifest.split, bundle.manifest.decision, {}
    if split:
        found["split"] = (
            f"{split.by.replace('_', ' ')}, by {split.field}: trained on rows until {split.train_until}, "
            f"tested on rows from {split.test_from} on"
        )
    if decision:
        costs = ", ".join(f"{name} {cost:g}" for name, cost in (decision.costs or {}).items())
        found["decision threshold"] = (
            f"{decision.positive} from a probability of {decision.threshold:g} on, by {decision.maximize}"
            + (f" ({costs})" if costs else "")
        )
    return found


def _lineage(workspace: Workspace, bundle: Bundle, champion: Bundle | None) -> dict[str, str]:
    manifest = bundle.manifest
    return {
        "candidate": f"{bundle.version} ({bundle.digest})",
        "champion": f"{champion.version} ({champion.digest})" if champion else "none yet",
        "Git commit": _commit(workspace.root),
        "data": manifest.data,
        "champion's data": champion.manifest.data if champion else "none yet",
        **_options(bundle),
        "estimator": manifest.estimator,
        "runtime": f"{manifest.runtime}: {manifest.runtime_reason}",
        "built with": ", ".join(f"{name} {version}" for name, version in manifest.versions.items()),
    }


def _searched(workspace: Workspace) -> dict[str, str]:
    """Describe the last search, if the candidate has the parameters that it found."""
    found = workspace.read(path) if (path := workspace.search / FOUND).exists() else None
    if not found or workspace.params.model | found["arguments"] != workspace.params.model:
        return {}
    return {
        "search": f"{found['metric']} {found['value']:.4g} in cross-validation, the best of "
        f"{sum(found['trials'].values())} trials; {found['before']:.4g} before"
    }


def _commit(root: Path) -> str:
    try:
        commit = git(root, "rev-parse", "HEAD").strip()
        return commit + (" and uncommitted changes" if git(root, "status", "--porcelain").strip() else "")
    except SlipwayError:
        return "not a Git checkout with a commit"


def _both_calibrations(verdict: dict[str, Any]) -> dict[str, str]:
    """Draw the calibration of candidate and champion on the same rows, if both have probabilities."""
    if not (pairs := verdict.get("calibration")):
        return {}
    curves = [[{"class": one["class"], **one[side]} for one in pairs if one[side]] for side in ("a", "b")]
    with TemporaryDirectory() as folder:
        plots.calibration(path := Path(folder) / "calibration.svg", *curves)
        return {"calibration": _picture(path)}


def _picture(path: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()
