import base64
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
import yaml

from checkouts import copy_checkout, retrain
from slipway.comparison import compare
from slipway.model.predictor import Predictor
from slipway.problem import SlipwayError
from slipway.report import _yaml, gather, write_for_gitlab, write_report

pytestmark = pytest.mark.xdist_group("report")  # its fixtures are made once


@pytest.fixture(scope="module")
def challenged(original, tmp_path_factory):
    """A released checkout with another candidate, judged."""
    return retrain(copy_checkout(original, tmp_path_factory.mktemp("report") / "checkout"), 0.5)


@pytest.fixture(scope="module")
def page(challenged) -> str:
    write_report(challenged)
    return (challenged.root / "build" / "report.html").read_text()


class Sources(HTMLParser):
    """Collects what a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "data", "srcset")]


def test_the_page_needs_no_other_file(page):
    sources = Sources()
    sources.feed(page)
    assert len(sources.found) == 4
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources.found)
    assert "url(" not in page
    assert "<script" not in page


def test_the_page_shows_verdict_reasons_scores_slices_data_and_lineage(challenged, page):
    run = gather(challenged)
    for text in (
        run["bundle"].version,
        run["champion"].version,
        run["verdict"]["verdict"],
        "threshold accuracy",
        "recall.male",
        "island=Dream",
        "Population stability index",
        run["bundle"].manifest.data,
    ):
        assert text in page


def test_it_compares_with_the_champion_on_the_same_rows_with_intervals(challenged):
    metrics = {item["name"]: item for item in gather(challenged)["metrics"]}
    difference = metrics["log_loss"]["difference"]
    assert difference["low"] <= difference["value"] <= difference["high"]
    assert metrics["log_loss"]["moved"] == "worse"  # less sure of itself than the champion


def test_the_markdown_draws_the_slices_and_the_calibration(challenged):
    write_report(challenged)
    text = (challenged.root / "build" / "report.md").read_text()
    slices, calibration = re.findall(r"^```mermaid\n(.*?)^```$", text, flags=re.M | re.S)
    bars = json.loads(re.search(r"^  bar (.*)$", slices, flags=re.M)[1])
    assert bars == [round(item["scores"]["accuracy"]["value"], 4) for item in gather(challenged)["slices"]]
    assert len(json.loads(re.search(r"^  x-axis (.*)$", slices, flags=re.M)[1])) == len(bars)
    assert 'y-axis "share of male" 0 --> 1' in calibration


def test_candidate_and_champion_have_their_calibration_in_one_plot_and_one_table(challenged):
    write_report(challenged)
    plot = base64.b64decode(gather(challenged)["pictures"]["calibration"].partition(",")[2])
    assert plot != (challenged.evaluation / "calibration.svg").read_bytes()
    text = (challenged.root / "build" / "report.md").read_text()
    one = challenged.read_verdict()["calibration"][-1]
    cells = [f"{one[side]['observed']:.4g} ({one[side]['rows']})" for side in ("a", "b")]
    assert f"| 0.9 to 1.0 | {cells[0]} | {cells[1]} |" in text


def test_a_name_in_a_plot_cannot_end_it(challenged):
    path = challenged.evaluation / "slices.json"
    before = path.read_text()
    path.write_text(before.replace("species=Adelie", 'a\\"]\\n```\\n# b'))
    write_report(challenged)
    path.write_text(before)
    text = (challenged.root / "build" / "report.md").read_text()
    assert "x-axis [\"a'] ''' # b (" in text


def test_the_markdown_tells_the_same_in_tables_that_hold(challenged):
    write_report(challenged)
    text = (challenged.root / "build" / "report.md").read_text()
    assert f"`{gather(challenged)['bundle'].version}`" in text
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.M)
    assert len(tables) == 6
    for table in tables:
        columns = {line.count("|") for line in table.splitlines()}
        assert len(columns) == 1, table


def test_data_that_did_not_change_did_not_move(challenged):
    changes = gather(challenged)["changes"]
    assert [change["feature"] for change in changes] == list(challenged.features.names)
    assert all(change["psi"] < 1e-6 for change in changes)


def test_without_a_champion_there_is_a_report_too(challenged, tmp_path):
    workspace = copy_checkout(challenged, tmp_path / "checkout")
    (workspace.root / "champion.dvc").unlink()
    write_report(workspace)
    assert "There is no champion to compare with" in (workspace.root / "build" / "report.html").read_text()


def test_after_a_promotion_the_report_is_of_a_candidate_that_is_the_champion(released):
    assert gather(released)["bundle"].digest == gather(released)["champion"].digest


def test_what_a_name_holds_is_text_and_no_markup(challenged, tmp_path):
    workspace = copy_checkout(challenged, tmp_path / "checkout")
    path = workspace.verdict
    path.write_text(path.read_text().replace("threshold accuracy", "<script>alert(1)</script> | x"))
    write_report(workspace)
    assert "<script>" not in (workspace.root / "build" / "report.html").read_text()
    assert "alert(1)</script> \\| x" in (workspace.root / "build" / "report.md").read_text()


@pytest.mark.parametrize("name", ["verdict.json", "evaluation/metrics.json"])
def test_what_is_missing_is_told_with_the_way_to_it(challenged, tmp_path, name):
    workspace = copy_checkout(challenged, tmp_path / "checkout")
    (workspace.root / "build" / name).unlink()
    with pytest.raises(SlipwayError, match=f"{name}: missing; `slipway run` makes it"):
        write_report(workspace)


def test_a_verdict_of_another_candidate_is_not_shown_with_this_one(challenged, tmp_path):
    workspace = copy_checkout(challenged, tmp_path / "checkout")
    text = workspace.verdict.read_text()
    workspace.verdict.write_text(text.replace(gather(workspace)["bundle"].digest, "0" * 64))
    with pytest.raises(SlipwayError, match="was given of another candidate"):
        write_report(workspace)


def test_what_moved_is_told_before_the_details(challenged, tmp_path, monkeypatch):
    workspace = copy_checkout(challenged, tmp_path / "checkout")
    verdict = workspace.read_verdict()
    name = gather(workspace)["slices"][0]["slice"]
    verdict["slices"] = {name: {"value": -0.02, "low": -0.03, "high": -0.01}}
    workspace.verdict.write_text(json.dumps(verdict))
    psi = {"bill_length_mm": 0.31, "bill_depth_mm": 0.01, "island": None}
    changes = [{"feature": name, "psi": value, "moved": value == 0.31} for name, value in psi.items()]
    monkeypatch.setattr("slipway.report.data_changes", lambda *_: (261, changes))
    write_report(workspace)
    told, _, details = (workspace.root / "build" / "report.md").read_text().partition("<details>")
    assert re.findall("^- .*", told, flags=re.M) == [
        f"- {name} is worse: accuracy -0.02 (-0.03 to -0.01) against the champion",
        "- bill_length_mm moved since the champion's training: PSI 0.310",
        "- island is new",
    ]
    assert "| -0.02 | -0.03 to -0.01 | worse |" in details


def test_slices_have_the_paired_difference_of_a_comparison_and_what_differs_is_listed(challenged):
    run, models = gather(challenged), [challenged.bundle, challenged.champion / "bundle"]
    compared = compare(challenged, *map(Predictor.load, models))
    assert {name: one.difference.as_json() for name, _, one in compared.slices} == {
        item["slice"]: item["difference"] for item in run["slices"]
    }
    assert run["differs"]["model.inverse_regularization"] == (0.5, 1.0)
    assert "data" not in run["differs"]
    write_report(challenged)
    assert "| model.inverse_regularization | 0.5 | 1.0 |" in (challenged.root / "build" / "report.md").read_text()


def test_a_merge_request_shows_each_check_of_the_gate_and_the_scores(tmp_path):
    outcomes = {"threshold accuracy": "pass", "slices": "fail", "champion": "hold"}
    reasons = [{"check": check, "outcome": outcome, "detail": f"<{check}>"} for check, outcome in outcomes.items()]
    write_for_gitlab(tmp_path, {"reasons": reasons, "metrics": {"accuracy": 0.98, "recall.female": 1.0}})
    cases = ElementTree.parse(tmp_path / "gate.xml").findall("testcase")
    shown = {case.get("name"): [(child.tag, child.get("message")) for child in case] for case in cases}
    assert shown == {
        "threshold accuracy": [],
        "slices": [("failure", "<slices>")],
        "champion": [("skipped", "<champion>")],
    }
    assert (tmp_path / "metrics.txt").read_text() == 'accuracy 0.98\nrecall{class="female"} 1\n# EOF\n'


def test_a_backtest_is_shown_by_the_metric_of_the_comparison(challenged):
    score = {"value": 0.1234, "low": 0.1, "high": 0.2}
    window = {"from": "2007-01-01", "until": "2007-12-31", "trained": 70, "rows": 30, "scores": {"log_loss": score}}
    path = challenged.evaluation / "backtest.json"
    path.write_text(json.dumps([window]))
    try:
        write_report(challenged)
        written = (challenged.root / "build" / "report.md").read_text()
    finally:
        path.unlink()
    assert "| 2007-01-01 | 2007-12-31 | 30 | 70 | 0.1234 | 0.1 to 0.2 |" in written


@pytest.fixture(scope="module")
def card(challenged) -> str:
    write_report(challenged)
    return (challenged.root / "build" / "MODEL_CARD.md").read_text()


def front_matter(card: str) -> dict:
    assert card.startswith("---\n")
    return yaml.safe_load(card.split("---\n")[1])


def test_every_number_of_the_model_cards_front_matter_is_the_verdicts(challenged, card):
    (model,) = front_matter(card)["model-index"]
    (result,) = model["results"]
    assert {metric["name"]: metric["value"] for metric in result["metrics"]} == challenged.read_verdict()["metrics"]
    assert {metric["name"]: metric["type"] for metric in result["metrics"]}["recall.male"] == "recall"


def test_every_score_of_the_model_cards_text_is_the_verdicts(challenged, card):
    for name, value in challenged.read_verdict()["metrics"].items():
        assert re.search(rf"^\| {re.escape(name)} \| {value:.4g} \| \S+ to \S+ \|$", card, flags=re.M)


def test_the_front_matter_is_as_the_hugging_face_hub_reads_it(challenged, card):
    found, bundle = front_matter(card), gather(challenged)["bundle"]
    assert found["pipeline_tag"] == "tabular-classification"
    assert found["library_name"] == "onnx"
    (model,) = found["model-index"]
    (result,) = model["results"]
    assert model["name"] == "penguins"
    assert result["task"] == {"type": "tabular-classification"}
    assert result["dataset"].keys() == {"type", "name", "split", "revision"}
    assert result["dataset"]["revision"] == bundle.manifest.data
    assert bundle.version in card


@pytest.mark.parametrize("value", [1e-05, 0.1, -3.0, 1e22, "yes", "a: b", "a, [b]", "1.5", "long " * 50])
def test_values_in_the_front_matter_are_read_back_as_they_were(value):
    assert yaml.safe_load(f"- {{value: {_yaml(value)}}}") == [{"value": value}]
