"""What params.yaml says is checked against what the project declares."""

import pytest

from seasons import make_workspace, season_problem
from slipway.problem import Function, SlipwayError


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        ("", r"have a time, 'seen'.*\n  split: time .*newest.*\n  split: group "),
        ("split: group, gap: 3", "prepare.gap and prepare.test_from belong to a split by time"),
        ("split: group, test_from: 5", "prepare.gap and prepare.test_from belong to a split by time"),
        ("split: weekly", "prepare.split: Input should be 'group', 'time' or 'group_and_time'"),
    ],
)
def test_a_time_without_a_fitting_choice_of_split_is_refused(tmp_path, prepare, words):
    with pytest.raises(SlipwayError, match=words):
        _ = make_workspace(tmp_path, prepare=prepare).params


def test_a_split_by_time_without_a_time_is_refused(tmp_path):
    workspace = make_workspace(tmp_path)
    workspace.problem = season_problem(time=None)
    with pytest.raises(SlipwayError, match=r'prepare.split: time needs the field .*Problem\(time="..."\)'):
        _ = workspace.params


def test_a_time_that_is_a_text_is_refused(tmp_path):
    workspace = make_workspace(tmp_path)
    workspace.problem = season_problem(time="plant")
    with pytest.raises(SlipwayError, match="the time 'plant' is declared as text; declare a date, a datetime or a num"):
        _ = workspace.params


def test_a_backtest_needs_a_split_by_time(tmp_path):
    with pytest.raises(SlipwayError, match=r"evaluate.backtest needs windows of time: prepare.split: time"):
        _ = make_workspace(tmp_path, prepare="split: group", evaluate="backtest: 3").params


def test_a_date_without_quotes_is_refused_since_dvc_cannot_record_it(tmp_path):
    with pytest.raises(SlipwayError, match=r'prepare.test_from: .*a date needs quotes: "2024-01-31"'):
        _ = make_workspace(tmp_path, prepare="split: time, test_from: 2024-01-31").params


def test_a_limit_of_missing_values_for_an_unknown_field_is_refused(tmp_path):
    workspace = make_workspace(tmp_path)
    path = workspace.root / "params.yaml"
    path.write_text(path.read_text().replace("max_missing: 0.5", "max_missing_of: {bet: 0.5}"))
    with pytest.raises(SlipwayError, match=r"validate.max_missing_of: 'bet' is unknown; did you mean bed\?"):
        _ = workspace.params


def test_a_declared_score_can_be_a_threshold_of_the_whole_and_of_slices_and_compare_with_the_champion(tmp_path):
    workspace = make_workspace(tmp_path)
    workspace.problem = season_problem(target="week", time="seen", metrics=("pinball.0.9",))
    text = (tmp_path / "params.yaml").read_text()
    slices = "\n  slice_thresholds: {metric: pinball.0.9, threshold: 4}\n"
    text = text.replace("accuracy: 0.5", "pinball.0.9: 3").replace("metric: log_loss", "metric: pinball.0.9")
    (tmp_path / "params.yaml").write_text(text.rstrip() + slices)
    assert workspace.params.gate.champion.metric == "pinball.0.9"
    workspace.problem = season_problem(target="week")
    del workspace.target, workspace.params
    with pytest.raises(SlipwayError, match=r"gate.thresholds: 'pinball.0.9' is unknown"):
        _ = workspace.params


def test_a_score_of_numbers_is_refused_of_classes(tmp_path):
    workspace = make_workspace(tmp_path)
    workspace.problem = season_problem(metrics=("pinball.0.9",))
    with pytest.raises(SlipwayError, match=r"metrics: pinball.0.9 is of a number, and kind has classes"):
        _ = workspace.target


def test_a_score_of_the_projects_own_is_known_to_the_gate(tmp_path):
    workspace = make_workspace(tmp_path)
    workspace.problem = season_problem(metrics=(Function("project.metrics:late_loss"),))
    path = workspace.root / "params.yaml"
    path.write_text(path.read_text().replace("metric: log_loss", "metric: late_loss"))
    assert workspace.params.gate.champion.metric == "late_loss"


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (Function("project.metrics:lateness"), "'lateness' must end in _score .more is better., _loss or _error"),
        ("late_loss", r'there is pinball.0.9, .*Function\("project.metrics:your_loss"\)'),
    ],
)
def test_a_score_that_cannot_be_is_refused(metric, words):
    with pytest.raises(SlipwayError, match=words):
        season_problem(metrics=(metric,))
