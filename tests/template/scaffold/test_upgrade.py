"""slipway upgrade: a fork's template files brought to another release, without the fork's own."""

import shutil
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import slipway
from checkouts import ROOT, run
from slipway.cli import main
from slipway.problem import SlipwayError
from slipway.scaffold import upgrade

OLD = {
    "pyproject.toml": '[project]\nname = "slipway"\nversion = "0.1.0"\ndescription = "one"\n\n[tool.x]\na = 1\n',
    "CHANGELOG.md": "# Changes\n\n## 0.1.0\nThe first.\n",
    "src/slipway/code.py": "".join(f"line_{n} = {n}\n" for n in range(20)),
    "src/project/schema.py": "penguins\n",
    "params.yaml": "speed: 1\n",
    "k8s/base.yaml": "base\n",
    "more/base.txt": "base\n",
    "monitoring/rules.yaml": "rules\n",
    "requirements.txt": "a==1\n",
    "requirements-dev.txt": "a==1\nb==1\n",
}
NEW = {
    "pyproject.toml": OLD["pyproject.toml"].replace("0.1.0", "0.2.0"),
    "CHANGELOG.md": "# Changes\n\n## 0.2.0\nRename speed to pace.\n\n## 0.1.0\nThe first.\n",
    "src/slipway/code.py": OLD["src/slipway/code.py"].replace("line_2 = 2\n", "line_2 = 'two'\n"),
    "src/slipway/more.py": "more\n",
    "src/project/schema.py": "penguins, better\n",
    "params.yaml": "pace: 1\n",
    "k8s/base.yaml": "base, better\n",
    "k8s/more.yaml": "more\n",
    "more/base.txt": "base, better\n",
    "more/more.txt": "more\n",
    "requirements.txt": "a==2\n",
    "requirements-dev.txt": "a==2\nb==1\n",
}


def commit(folder: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    run(folder, "git", "add", "--all")
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    run(folder, "git", *identity, "commit", "--quiet", "--message", message)


@pytest.fixture
def template(tmp_path) -> Path:
    """A template with two releases."""
    folder = tmp_path / "template"
    run(tmp_path, "git", "init", "--quiet", str(folder))
    commit(folder, OLD, "One")
    run(folder, "git", "tag", "v0.1.0")
    (folder / "monitoring/rules.yaml").unlink()
    commit(folder, NEW, "Two")
    run(folder, "git", "tag", "v0.2.0")
    return folder


@pytest.fixture
def fork(template, tmp_path, monkeypatch) -> Path:
    """A repository made of the first release, without its history, with an own problem and changes of its own."""
    folder = tmp_path / "fork"
    run(tmp_path, "git", "init", "--quiet", str(folder))
    for name, value in {"user.name": "Ada", "user.email": "ada@example.org"}.items():
        run(folder, "git", "config", name, value)
    code = OLD["src/slipway/code.py"].replace("line_15 = 15\n", "line_15 = 'mine'\n")
    commit(folder, {**OLD, "src/project/schema.py": "houses\n", "src/slipway/code.py": code}, "Our problem")
    run(folder, "git", "remote", "add", "slipway", str(template))
    monkeypatch.setattr(upgrade, "CHECK", (sys.executable, "-c", ""))
    return folder


def ask(fork: Path, *options: str):
    return CliRunner().invoke(main, ["--root", str(fork), "upgrade", *options])


def state(fork: Path) -> tuple[str, str]:
    return run(fork, "git", "rev-parse", "HEAD"), run(fork, "git", "status", "--porcelain")


def test_the_templates_changes_are_merged_and_the_forks_own_files_stay(fork):
    done = ask(fork)
    assert done.exit_code == 0, done.output
    code = (fork / "src/slipway/code.py").read_text()
    assert "line_2 = 'two'" in code
    assert "line_15 = 'mine'" in code
    assert (fork / "src/slipway/more.py").exists()
    assert not (fork / "monitoring").exists()
    assert (fork / "src/project/schema.py").read_text() == "houses\n"
    assert (fork / "params.yaml").read_text() == "speed: 1\n"
    assert (fork / "requirements.txt").read_text() == "a==2\n"
    assert "Rename speed to pace." in done.output
    assert "The first." not in done.output
    assert run(fork, "git", "log", "-1", "--format=%s") == "Upgrade Slipway to 0.2.0\n"
    assert state(fork)[1] == ""
    assert "already" in ask(fork).output


@pytest.mark.parametrize(("folder", "said"), [("k8s", "kubernetes"), ("more", "more/base.txt, more/more.txt")])
def test_a_part_or_folder_that_was_removed_stays_away_with_what_is_new_in_it(fork, folder, said):
    shutil.rmtree(fork / folder)
    commit(fork, {}, "Without it")
    done = ask(fork)
    assert done.exit_code == 0, done.output
    assert not (fork / folder).exists()
    assert f"since you removed them: {said}\n" in done.output


def test_a_lock_with_the_forks_own_packages_is_made_anew(fork, monkeypatch):
    commit(fork, {"requirements-dev.txt": "a==1\nb==1\nmine==1\n"}, "Mine")
    script = "import pathlib; pathlib.Path('requirements-dev.txt').write_text('a==2 b==1 mine==1')"
    monkeypatch.setattr(upgrade, "RELOCK", (sys.executable, "-c", script))
    assert ask(fork).exit_code == 0
    assert (fork / "requirements-dev.txt").read_text() == "a==2 b==1 mine==1"
    assert (fork / "requirements.txt").read_text() == "a==2\n"


def test_a_conflict_is_named_and_undone_unless_it_is_to_be_kept(fork):
    commit(fork, {"src/slipway/code.py": OLD["src/slipway/code.py"].replace("= 2\n", "= 'mine'\n")}, "Mine")
    before = state(fork)
    done = ask(fork)
    assert done.exit_code == 1
    assert "conflict in src/slipway/code.py. Nothing was changed" in done.output
    assert state(fork) == before
    assert not (fork / "src/slipway/more.py").exists()
    assert ask(fork, "--keep-conflicts").exit_code == 1
    assert "<<<<<<<" in (fork / "src/slipway/code.py").read_text()
    assert state(fork)[0] == before[0]


@pytest.mark.parametrize("step", ["CHECK", "RELOCK"])
def test_a_step_that_fails_undoes_all(fork, monkeypatch, step):
    commit(fork, {"requirements-dev.txt": "a==1\nb==1\nmine==1\n"}, "Mine")
    before = state(fork)
    monkeypatch.setattr(upgrade, "RELOCK", (sys.executable, "-c", ""))
    monkeypatch.setattr(upgrade, step, (sys.executable, "-c", "import sys; sys.exit('speed: unknown')"))
    done = ask(fork)
    assert done.exit_code == 1
    assert "nothing was changed" in done.output
    assert "speed: unknown" in done.output
    assert state(fork) == before


def test_an_upgrade_that_is_interrupted_undoes_all(fork, monkeypatch):
    before = state(fork)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(upgrade, "call", interrupt)
    with pytest.raises(KeyboardInterrupt):
        upgrade.apply(upgrade.make_plan(fork, "slipway", None))
    assert state(fork) == before


def test_what_cannot_be_upgraded_is_told(fork):
    with pytest.raises(SlipwayError, match=r"no release 9.9 of the template; it has 0.2.0, 0.1.0"):
        upgrade.make_plan(fork, "slipway", "9.9")
    with pytest.raises(SlipwayError, match="git ls-remote failed"):
        upgrade.make_plan(fork, "nowhere", None)
    (fork / "pyproject.toml").write_text("changed")
    with pytest.raises(SlipwayError, match="uncommitted work"):
        upgrade.make_plan(fork, "slipway", None)


def test_the_version_is_that_of_pyproject_and_the_changelog_has_a_section_for_it():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert slipway.__version__ == version
    assert f"\n## {version}\n" in (ROOT / "CHANGELOG.md").read_text()
