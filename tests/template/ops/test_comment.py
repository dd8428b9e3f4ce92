"""The comment on a pull request: what `.ci/comment` makes of a run, and of what an unknown author put into it."""

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BOT = "github-actions[bot]"
RUN = {
    "run_number": 12,
    "html_url": "https://github.example/runs/7",
    "head_sha": "c0ffee",
    "head_branch": "better",
    "head_repository": {"owner": {"login": "ada"}},
    "pull_requests": [],
}


class GitHub:
    """A repository with a pull request and a finished run, for the stand-in of `gh` to serve."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = {"run": RUN, "jobs": [], "artifacts": [], "comments": []}
        self.pull_request("ada:better")

    def pull_request(self, label: str, **changes) -> None:
        self.state["pulls"] = [{"number": 3, "state": "open", "head": {"label": label, "sha": "c0ffee"}} | changes]

    def artifact(self, name: str, size: int = 900) -> None:
        number = len(self.state["artifacts"]) + 1
        made = {"id": number, "name": name, "size_in_bytes": size, "expired": False, "created_at": f"2030-01-0{number}"}
        self.state["artifacts"].append(made)

    def report(self, text: str | bytes) -> None:
        self.artifact("report")
        with zipfile.ZipFile(self.folder / f"{len(self.state['artifacts'])}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("report.html", "<p>no")
            archive.writestr("report.md", text)

    def comment(self) -> str:
        """Run the script; what it said."""
        (self.folder / "github.json").write_text(json.dumps(self.state))
        done = subprocess.run(
            [ROOT / ".ci" / "comment"],
            cwd=self.folder,
            env={
                "PATH": f"{ROOT / 'tests' / 'ops' / 'stand-ins'}:{os.environ['PATH']}",
                "STAND_IN": str(self.folder),
                "GITHUB_REPOSITORY": "ada/penguins",
                "RUN_ID": "7",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        self.state = json.loads((self.folder / "github.json").read_text())
        return done.stdout

    @property
    def body(self) -> str:
        assert len(self.state["comments"]) == 1
        return self.state["comments"][0]["body"]


@pytest.fixture
def github(tmp_path: Path) -> GitHub:
    for tool in ("jq", "unzip"):
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}")
    return GitHub(tmp_path)


def test_the_report_is_one_comment_that_is_renewed(github):
    stranger = {"id": 1, "user": {"login": "grace"}, "body": "<!-- slipway: the report of the pipeline -->\nMine."}
    sibling = {"id": 2, "user": {"login": BOT}, "body": "Another workflow's."}
    github.state["comments"] = [stranger, sibling]
    github.report("## penguins: HOLD\n")
    github.artifact("image", 71_400_000)
    github.comment()
    first = github.state["comments"][2]
    assert "## penguins: HOLD" in first["body"]
    assert "71 MB" in first["body"]
    assert "https://github.example/runs/7/artifacts/1" in first["body"]
    github.report("## penguins: PROMOTE\n")
    github.comment()
    *untouched, second = github.state["comments"]
    assert untouched == [stranger, sibling]
    assert second["id"] == first["id"]
    assert "PROMOTE" in second["body"]
    assert "HOLD" not in second["body"]


def test_a_pull_request_from_a_fork_is_found_whatever_its_branch_is_called(github):
    branch = 'x"$(touch pwned)&state=closed'
    github.state["run"] = RUN | {"head_branch": branch, "head_repository": {"owner": {"login": "mallory"}}}
    github.pull_request(f"mallory:{branch}")
    github.report("HOLD")
    assert "pull request 3" in github.comment()
    assert "HOLD" in github.body
    assert not (github.folder / "pwned").exists()


def test_without_a_report_it_says_which_job_refused(github):
    github.state["jobs"] = [
        {"name": "Data", "conclusion": "failure", "html_url": "https://github.example/runs/7/job/1"},
        {"name": "Check", "conclusion": "success", "html_url": "https://github.example/runs/7/job/2"},
    ]
    github.comment()
    assert "Failed: [Data](https://github.example/runs/7/job/1)" in github.body
    assert "Check" not in github.body
    assert "No report" in github.body


@pytest.mark.parametrize("piece", ["| slice | 1 |\n", "ü", "@a", "🐧"])
def test_a_huge_report_is_cut(github, piece):
    github.report(piece * 500_000)
    github.comment()
    assert 50_000 < len(github.body) <= 65_536
    assert github.body.endswith("(cut)")


def test_an_artifact_that_is_far_too_large_is_not_even_fetched(github):
    github.artifact("report", 10**9)
    github.comment()
    assert "No report" in github.body


def test_a_report_and_the_names_of_jobs_are_text_and_no_more(github):
    marker = b"<!-- slipway: the report of the pipeline -->"
    github.report(marker + b"\n${{ secrets.X }} $(touch pwned) `touch pwned` @grace fixes #1\\ \x00\xff <!-- <details>")
    job = {"name": "](http://evil) @grace", "conclusion": "failure", "html_url": "https://github.example/job/1"}
    github.state["jobs"] = [job]
    github.comment()
    github.comment()
    heading, _, report = github.body.partition("says of itself.")
    assert "${{ secrets.X }} $(touch pwned) `touch pwned`" in report
    assert "@grace" not in github.body
    assert "#1" not in github.body
    assert "\x00" not in github.body
    assert "[httpevil grace](https://github.example/job/1)" in heading
    assert "Run 12" in heading
    assert not (github.folder / "pwned").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "closed"},
        {"head": {"label": "ada:better", "sha": "newer"}},
        {"head": {"label": "ada:other", "sha": "0"}},
    ],
)
def test_there_is_nothing_to_do_where_no_open_pull_request_has_that_commit_as_its_head(github, changes):
    github.pull_request("ada:better", **changes)
    github.report("HOLD")
    assert "::notice::" in github.comment()
    assert github.state["comments"] == []


def test_a_fork_that_was_deleted_is_no_failure(github):
    github.state["run"] = RUN | {"head_repository": None}
    github.report("HOLD")
    assert "::notice::" in github.comment()
