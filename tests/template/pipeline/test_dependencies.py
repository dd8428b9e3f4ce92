"""The weekly pull request with newer dependencies; without the locking and the tests, which take minutes."""

import pytest

from checkouts import run
from pipeline.remotes import make_remote
from pipeline.workflow import Workflow

pytestmark = pytest.mark.xdist_group("pipeline")


@pytest.mark.parametrize("refuses", ["", "pr"])
def test_newer_dependencies_are_proposed_and_where_that_is_not_permitted_the_way_out_is_told(refuses, tmp_path, gh):
    remote = make_remote(tmp_path)
    weekly = Workflow("dependencies.yml", remote, tmp_path / "run", env={"GH_REFUSES": refuses})
    steps = {step["name"]: step for step in weekly.definition["jobs"]["lock"]["steps"]}
    steps["Lock"]["run"] = "echo '# newer' >>requirements.txt"
    del steps["Test"]
    weekly.definition["jobs"]["lock"]["steps"] = list(steps.values())
    done = weekly.jobs("lock")
    assert done.result == "success", done.log
    assert "pr create --head dependencies --title Newer dependencies --body-file body.md" in gh.read_text()
    assert run(remote, "git", "show", "dependencies:requirements.txt").endswith("# newer\n")
    assert ("Allow GitHub Actions to create and approve pull requests" in done.summary) == bool(refuses)
