from pathlib import Path

import pytest

from slipway.problem import SlipwayError
from slipway.problem.params import check_arguments, load_params

ROOT = Path(__file__).parents[3]
MINIMAL = "gate:\n  thresholds: {accuracy: 0.5}\n  champion: {metric: accuracy}\n"
WHOLE = MINIMAL + "".join(f"{name}: {{}}\n" for name in ("prepare", "validate", "model", "train", "evaluate"))


def _load(tmp_path: Path, text: str):
    (tmp_path / "params.yaml").write_text(text)
    return load_params(tmp_path)


def test_the_projects_own_params_are_valid():
    assert load_params(ROOT).gate.thresholds


def test_what_is_not_said_has_its_default(tmp_path):
    assert _load(tmp_path, WHOLE).evaluate.confidence == 0.95


def test_a_section_without_entries_has_its_defaults(tmp_path):
    assert _load(tmp_path, WHOLE.replace("train: {}", "train:")).train.seed == 0


def test_every_omitted_section_is_named_at_once_with_the_lines_to_add(tmp_path):
    with pytest.raises(SlipwayError) as caught:
        _load(tmp_path, MINIMAL + "train: {seed: 1}\n")
    assert str(caught.value).endswith("have the defaults:\n  prepare: {}\n  validate: {}\n  model: {}\n  evaluate: {}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prepare: {test_shar: 0.3}\n", r"prepare.test_shar: unknown; did you mean test_share\?"),
        ("evalute: {}\n", r"evalute: unknown; did you mean evaluate\?"),
        ("whatever: 1\n", "whatever: unknown; known here: prepare, validate, model"),
        ("prepare: {test_share: 'much'}\n", "prepare.test_share: Input should be a valid number .*'much'"),
        ("prepare: {test_share: 1.5}\n", "prepare.test_share: Input should be less than 1"),
        ("train: {seed: true}\n", "train.seed: Input should be a valid integer"),
        ("evaluate: {slices: island}\n", "evaluate.slices: Input should be a valid list"),
    ],
)
def test_a_wrong_entry_is_named_with_the_way_out(tmp_path, text, words):
    with pytest.raises(SlipwayError, match=words):
        _load(tmp_path, MINIMAL + text)


def test_every_fault_is_told_at_once(tmp_path):
    with pytest.raises(SlipwayError) as caught:
        _load(tmp_path, MINIMAL + "prepare: {a: 1}\ntrain: {seed: -1}\n")
    assert "prepare.a" in str(caught.value)
    assert "train.seed" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "gate: missing"), ("- a\n", "valid dictionary"), ("a: [\n", "params.yaml"), ("gate: \xff", "params.yaml")],
)
def test_a_broken_file_is_refused(tmp_path, text, words):
    (tmp_path / "params.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(SlipwayError, match=words):
        load_params(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SlipwayError, match=r"params.yaml: no such file"):
        load_params(tmp_path)


def build(*, depth: int, rate: float = 0.1) -> "NotImportedHere":  # noqa: F821  (a return type may need a heavy import)
    raise AssertionError("the check must not call it")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"deptj": 3}, r"deptj: unknown; did you mean depth\?"),
        ({}, "depth: missing"),
        ({"depth": "3"}, "depth: Input should be a valid integer"),
        ({"depth": 3, "rate": "fast"}, "rate: Input should be a valid number"),
    ],
)
def test_the_models_arguments_are_checked_by_builds_signature(given, words):
    with pytest.raises(SlipwayError, match=f"(?s)params.yaml: model.*{words}"):
        check_arguments(build, given)


def test_right_arguments_pass():
    check_arguments(build, {"depth": 3, "rate": 1})
