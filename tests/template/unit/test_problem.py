import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from flowers import Flower, Specimen, flower_problem
from slipway.problem import Function, Problem, SlipwayError, load_problem
from slipway.problem.params import check_arguments


class Unrelated(BaseModel):
    """A record that does not hold the row."""

    kind: str
    plant: str


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "My Flowers"}, "must be lower-case letters"),
        ({"record": Unrelated}, r"the record lacks fields of the row: bed, colour.*let it inherit"),
        ({"target": "colour"}, "the target 'colour' is a field of the row, so it would leak into the features"),
        ({"target": "sort"}, "the record has no field 'sort'; it has bed"),
        ({"metrics": ("pinbal.0.9",)}, r"metrics: 'pinbal.0.9' is unknown; there is pinball.0.9"),
        ({"metrics": ("pinball.0.0",)}, r"metrics: 'pinball.0.0' is unknown"),
        ({"group": ("plant", "garden")}, "the record has no field 'garden'"),
    ],
)
def test_a_wrong_declaration_is_refused_when_it_is_made(changes, words):
    with pytest.raises(SlipwayError, match=words):
        flower_problem(**changes)


def test_one_identity_or_several_may_be_named():
    assert flower_problem(group="plant").groups == ("plant",)
    assert flower_problem(group=("plant", "bed")).groups == ("plant", "bed")


def _project(folder: Path, named: str, code: str) -> Path:
    (folder / "pyproject.toml").write_text(f'[tool.slipway]\nproblem = "{named}"\n')
    package = folder / "src"
    package.mkdir()
    (package / "another.py").write_text(code)
    return folder


@pytest.fixture(autouse=True)
def clean_imports(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("another", None)


def test_the_problem_is_the_one_that_pyproject_names(tmp_path):
    _project(tmp_path, "another:mine", "from flowers import flower_problem\nmine = flower_problem(name='mine')\n")
    assert load_problem(tmp_path).name == "mine"


@pytest.mark.parametrize(
    ("named", "code", "words"),
    [
        ("nowhere:problem", "", "there is no module 'nowhere' in .*src"),
        ("another:problem", "", "another has no 'problem'"),
        ("another", "problem = 1", "another has no ''"),
        ("another:problem", "problem = 1", "is a int, not a slipway.problem.Problem"),
    ],
)
def test_a_problem_that_cannot_be_found_is_told(tmp_path, named, code, words):
    with pytest.raises(SlipwayError, match=words):
        load_problem(_project(tmp_path, named, code))


def test_a_package_that_the_declaration_itself_lacks_is_named(tmp_path):
    with pytest.raises(SlipwayError, match="another:problem imports no_such_library, which is not installed"):
        load_problem(_project(tmp_path, "another:problem", "import no_such_library"))


LAZY = """
from flowers import flower_problem
from slipway.problem import Function
mine = flower_problem(**{name: Function(f"parts:{name}") for name in ("load", "build", "expectations")})
"""


def test_a_function_that_is_named_is_imported_when_it_is_called_and_not_before(tmp_path, monkeypatch):
    _project(tmp_path, "another:mine", LAZY)
    (tmp_path / "src" / "parts.py").write_text("def build(*, depth: int = 3): return depth\n")
    problem = load_problem(tmp_path)
    assert "parts" not in sys.modules
    with pytest.raises(SlipwayError, match=r"dept: unknown; did you mean depth\?"):
        check_arguments(problem.build, {"dept": 1})
    assert problem.build(depth=4) == 4
    del sys.modules["parts"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("parts:build", "there is no module 'parts' in src"), ("flowers:grow", "flowers has no 'grow'")],
)
def test_a_function_that_is_not_there_is_reported_with_the_file_that_names_it(name, words):
    with pytest.raises(SlipwayError, match=f"src/project/__init__.py: '{name}': {words}"):
        Function(name)()


@pytest.mark.parametrize(
    "code", ["import no_such_package\ndef build(): pass", "def build():\n    import no_such_package"]
)
def test_a_package_that_is_not_installed_is_named_with_the_place_to_declare_it(tmp_path, code):
    _project(tmp_path, "another:mine", LAZY)
    (tmp_path / "src" / "parts.py").write_text(f"{code}\n")
    problem = load_problem(tmp_path)
    with pytest.raises(
        SlipwayError, match=r"parts:build imports no_such_package, .* pyproject.toml, in the extra `model`"
    ):
        problem.build()
    sys.modules.pop("parts", None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "run slipway in the project's folder"),
        ("a = [", "pyproject.toml"),
        ("", r"lacks the lines\n\[tool.slipway"),
    ],
)
def test_a_folder_that_is_no_project_is_told(tmp_path, text, words):
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(SlipwayError, match=words):
        load_problem(tmp_path)


def test_a_problem_declares_what_it_predicts_from_what():
    problem = flower_problem()
    assert isinstance(problem, Problem)
    assert (problem.row, problem.record, problem.target) == (Flower, Specimen, "kind")
