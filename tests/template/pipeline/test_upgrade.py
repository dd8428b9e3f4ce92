"""Forks of earlier releases of the template, with a problem, a workflow and a choice of parts of their own."""

import shutil
import sys
from pathlib import Path

import pytest

from checkouts import ROOT, commit_files, make_repository, make_template, run
from pipeline.workflow import Workflow
from slipway.problem import SlipwayError
from slipway.scaffold.releases import differing
from slipway.scaffold.removal import apply, make_removal

HOUSES = ROOT / "tests/template/fork/houses"
PIPELINE, EXAMPLE = ".github/workflows/pipeline.yml", "docs/runbooks/example.md"
# What the earlier releases had instead: by release, the file, its present words and the earlier ones.
EARLIER = {
    "9.1.0": [
        ("src/slipway/report.py", '"""', '"""Earlier: '),
        (".ci/run", "need promtool prometheus ", "need promtool prometheus2 "),
        ("docs/monitoring.md", "\n## ", "\nEarlier.\n\n## "),
        ("requirements-dev.txt", "\n", "\n# earlier\n"),
    ],
    "9.0.0": [
        (PIPELINE, "    timeout-minutes: 5\n", "    timeout-minutes: 6\n"),
        ("Makefile", "clean: ## Remove", "clean: ## Delete"),
        ("AGENTS.md", "## Rules", "## The rules"),
    ],
}


LATER = {"9.1.0": {EXAMPLE: "# Example\n"}, "9.2.0": {EXAMPLE: "# Example, better\n"}}  # of the part monitoring


@pytest.fixture(scope="module")
def template(every_part, tmp_path_factory) -> Path:
    """The template with three releases, of which the last has the present files."""
    folder = make_template(tmp_path_factory.mktemp("template") / "template")
    changed = {name for changes in EARLIER.values() for name, *_ in changes}
    texts = {name: (folder / name).read_text() for name in changed}
    releases = {"9.2.0": dict(texts)}
    for version, changes in EARLIER.items():
        for name, now, before in changes:
            assert now in texts[name]
            texts[name] = texts[name].replace(now, before, 1)
        releases[version] = dict(texts)
    declared = (folder / "pyproject.toml").read_text()
    for version, files in reversed(releases.items()):
        numbered = declared.replace('\nversion = "', f'\nversion = "{version}"  # "')
        commit_files(folder, version, {**files, **LATER.get(version, {}), "pyproject.toml": numbered})
        run(folder, "git", "tag", f"v{version}")
    return folder


@pytest.mark.parametrize("version", EARLIER)
def test_a_fork_of_an_earlier_release_is_proposed_its_upgrade_which_is_green(template, tmp_path, gh, version):
    fork = make_repository(tmp_path / "fork")
    run(template, "git", "worktree", "add", "--quiet", "--detach", str(tmp_path / "release"), f"v{version}")
    shutil.copytree(tmp_path / "release", fork, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git"))
    for name in ("src/project", "tests/model", "tests/data"):
        shutil.rmtree(fork / name)
        shutil.copytree(HOUSES / name, fork / name)
    shutil.copy(HOUSES / "params.yaml", fork)
    workflow = (fork / PIPELINE).read_text()
    ours = workflow.replace("    timeout-minutes: 60\n", "    timeout-minutes: 90\n", 1)
    assert ours != workflow
    commit_files(fork, "Our problem", {PIPELINE: ours})
    apply(make_removal(fork, ["monitoring"]))
    commit_files(fork, "Without monitoring", {"champion.dvc": None})
    run(tmp_path, "git", "clone", "--quiet", "--bare", str(fork), "remote.git")

    proposal = Workflow("upgrade.yml", tmp_path / "remote.git", tmp_path / "run", vars={"TEMPLATE": str(template)})
    steps = proposal.definition["jobs"]["upgrade"]["steps"]
    steps[:] = [step for step in steps if step["name"] != "Test"]  # of nearly all tests
    done = proposal.jobs("upgrade")
    assert done.result == "success", done.log
    assert "Left out, since you removed them: monitoring\n" in (done.folder / "upgrade.md").read_text()
    assert "pr create --head upgrade --title Upgrade of the template --body-file upgrade.md" in gh.read_text()
    for check in ([".ci/documents"], ["-m", "ruff", "check", "."], ["-m", "ruff", "format", "--check", "."]):
        run(done.folder, sys.executable, *check)  # slipway upgrade itself has run `slipway doctor --quick`
    assert run(done.folder, "git", "rev-parse", "HEAD") == run(tmp_path / "remote.git", "git", "rev-parse", "upgrade")
    assert differing(done.folder) == [PIPELINE]
    assert (done.folder / PIPELINE).read_text() == ours.replace("    timeout-minutes: 6\n", "    timeout-minutes: 5\n")
    assert (done.folder / "requirements-dev.txt").read_text() == (ROOT / "requirements-dev.txt").read_text()
    with pytest.raises(SlipwayError, match="nothing of it is here any more"):
        make_removal(done.folder, ["monitoring"])


def test_with_the_newest_release_or_no_template_nothing_is_proposed(template, tmp_path, gh):
    run(tmp_path, "git", "clone", "--quiet", "--bare", str(template), "remote.git")
    for name, known in {"newest": {"TEMPLATE": str(template)}, "none": {}}.items():
        done = Workflow("upgrade.yml", tmp_path / "remote.git", tmp_path / name, vars=known).jobs("upgrade")
        assert done.result == ("success" if known else "skipped"), done.log
    assert not gh.exists()
