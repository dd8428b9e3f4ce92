"""`slipway remove`: a part goes with everything that names it, and what stays is whole."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from checkouts import ROOT, commit_files, make_template, run
from documents import commands
from slipway.problem import SlipwayError
from slipway.scaffold import removal
from slipway.scaffold.parts import PARTS

CHOICES = {**{name: (name,) for name in PARTS}, "all": tuple(PARTS)}
SLIPWAY = (sys.executable, "-m", "slipway")
# Code of the template that does nothing without the part, and its tests; names of files that may be there or not.
FREE = ("src/slipway/", "tests/template/unit/", "tests/template/scaffold/", "tests/template/overlays.py", ".dvc/")
OPTIONAL = re.compile(r"\$\(wildcard [^)]*\)|-include .*")


@pytest.fixture(scope="module")
def whole(every_part, tmp_path_factory) -> Path:
    """The template's present files, in one commit; only for copying."""
    return make_template(tmp_path_factory.mktemp("whole") / "checkout")


@pytest.fixture
def project(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "checkout"))


def remove(project: Path, *names: str) -> removal.Removal:
    planned = removal.make_removal(project, names)
    removal.apply(planned)
    commit_files(project, "Without", {})
    return planned


def texts(project: Path) -> dict[str, str]:
    """The text of each file that Git knows, but of code that stays."""
    names = [name for name in removal.tracked(project) if not name.startswith(FREE)]
    return {name: (project / name).read_bytes().decode(errors="replace") for name in names}


def dangling(found: dict[str, str], gone: set[str]) -> list[str]:
    """Lines that name a file that is gone, by its path, or as a module of the tests."""
    modules = {Path(name).stem for name in gone if re.fullmatch(r"tests/template/(ops/|pipeline/)?\w+\.py", name)}
    imports = re.compile(rf"(from|import) (\w+\.)?({'|'.join(sorted(modules)) or '-'})\b")
    words = re.compile(r"[\w./-]+")
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in found.items()
        for number, line in enumerate(text.splitlines(), 1)
        if (gone & set(words.findall(OPTIONAL.sub("", line))) and (not name.startswith("tests/") or "ROOT" in line))
        or (name.endswith(".py") and imports.match(line.strip()))
    ]


@pytest.mark.parametrize("choice", CHOICES)
def test_what_stays_names_nothing_that_went_and_is_whole(choice, project):
    planned = remove(project, *CHOICES[choice])
    found = texts(project)
    assert not [path for name in planned.names for path in PARTS[name].paths if (project / path).exists()]
    assert dangling(found, set(planned.removes)) == []
    marks = {mark[2] for text in found.values() for mark in removal.MARK.finditer(text)}
    assert marks & set(planned.names) == set()
    tomllib.loads(found["pyproject.toml"])
    for name in (name for name in found if re.search(r"(^|/)[^/]*\.ya?ml$", name)):
        list(yaml.safe_load_all(found[name]))
    for name in (name for name in found if name.startswith(".github/workflows/")):
        jobs = yaml.safe_load(found[name])["jobs"]
        for job in jobs.values():
            needed = job.get("needs", [])
            assert set([needed] if isinstance(needed, str) else needed) <= set(jobs)
            assert (project / job.get("uses", ".")).exists()
    run(project, sys.executable, ".ci/documents")
    run(project, sys.executable, "-m", "ruff", "check", "--quiet", ".")
    run(project, sys.executable, "-m", "ruff", "format", "--quiet", "--check", ".")
    assert "make test" in run(project, "make", "help")
    makefiles = "".join(text for name, text in found.items() if name == "Makefile" or name.endswith(".mk"))
    targets = set(re.findall(r"^([\w.-]+):", makefiles, re.MULTILINE))
    documented = {
        word for name in found if name.endswith(".md") for line in commands(project / name) for word in made(line)
    }
    called = "".join(text for name, text in found.items() if name.startswith((".ci/", ".github/", ".gitlab")))
    assert documented | set(re.findall(r"^[^#\n]*(?:run:|-|&&) make ([\w-]+)", called, re.MULTILINE)) <= targets


def made(words: list[str]) -> list[str]:
    """The targets that a command makes."""
    return [word for word in words[1:] if re.fullmatch(r"[\w-]+", word)] if words[0] == "make" else []


def test_without_all_parts_the_workflows_pass_and_the_changed_tests_are_found(project):
    planned = remove(project, *PARTS)
    changed = [name for name in planned.writes if re.fullmatch(r"tests/.*/test_\w+\.py", name)]
    (project / ".venv").symlink_to(ROOT / ".venv")
    run(project, "make", "--old-file", ".venv/.done", "lint-workflows")
    run(project, sys.executable, "-m", "pytest", "--collect-only", "--quiet", *changed)


def test_it_shows_its_plan_and_does_nothing_without_a_yes(project):
    done = subprocess.run(
        [*SLIPWAY, "--root", str(project), "remove", "gitlab"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 1
    assert "Removes  gitlab: .gitlab-ci.yml" in done.stdout
    assert "nothing was changed" in done.stderr
    assert run(project, "git", "status", "--porcelain") == ""


def test_a_part_brings_along_what_is_of_no_use_without_it(project):
    assert remove(project, "compose").names == ("compose", "mlflow-server")


def test_what_a_merge_brought_back_can_be_removed_again_and_twice_says_so(project):
    remove(project, "scan")
    with pytest.raises(SlipwayError, match="scan: nothing of it is here any more"):
        removal.make_removal(project, ["scan"])
    commit_files(project, "Merge", {".github/workflows/scan.yml": "name: scan\n"})
    assert removal.make_removal(project, ["scan"]).removes == (".github/workflows/scan.yml",)


def test_a_part_that_there_is_not_and_uncommitted_work_are_refused(project):
    with pytest.raises(SlipwayError, match="kubernets: no such part; there are kubernetes, gitlab"):
        removal.make_removal(project, ["kubernets"])
    (project / "README.md").write_text("mine\n")
    with pytest.raises(SlipwayError, match=r"uncommitted work could be lost: README\.md; commit or stash it first"):
        removal.make_removal(project, ["gitlab"])


def test_a_failure_in_the_middle_leaves_everything_as_it_was(project, monkeypatch):
    planned, renamed = removal.make_removal(project, ["gitlab"]), Path.rename

    def fail(path, other):
        if path.name == "README.md" and "tree" in path.parts:
            monkeypatch.undo()
            raise OSError("disk full")
        return renamed(path, other)

    monkeypatch.setattr("slipway.scaffold.swap.Path.rename", fail)
    with pytest.raises(OSError, match="disk full"):
        removal.apply(planned)
    assert run(project, "git", "status", "--porcelain") == ""


MARKED = """# PART: gitlab. A job
deploy:
  run: it

keep: 1 # PART: scan
keep: 2
# PART: gitlab
a: 1
# END: gitlab
b: 2
""".replace("PART", "part").replace("END", "end")  # so that this file has no marks
SCAN = "# {}: scan".format("part")


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        ("gitlab", f"keep: 1 {SCAN}\nkeep: 2\nb: 2\n"),
        ("scan", MARKED.replace(f"keep: 1 {SCAN}\n", "")),
        ("signing", MARKED),
    ],
)
def test_marked_lines_go_with_their_part_alone(gone, left):
    assert removal.without(MARKED, [gone], "file") == left


def test_in_a_document_a_marked_section_ends_at_the_next_heading():
    text = "# One\n\n<!-- PART: gitlab -->\n## Two\na\n\n```sh\n# no heading\n```\n\n### Three\n\n## Four\nb\n"
    text = text.replace("PART", "part")
    assert removal.without(text, ["gitlab"], "file") == "# One\n\n## Four\nb\n"


def test_a_mark_that_no_part_has_is_an_error():
    with pytest.raises(SlipwayError, match=r"Makefile: the mark .* names no part"):
        removal.without("x # {}: kubernets\n".format("part"), [], "Makefile")
