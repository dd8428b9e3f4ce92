"""The comment on a pull request: what `.ci/comment` makes of a run, and of what an unknown author put into it."""

import json
import os
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

COMMENT = Path(__file__).parents[3] / ".ci" / "comment"
BOT = "github-actions[bot]"
RUN = {
    "id": 7,
    "run_number": 12,
    "html_url": "https://github.example/runs/7",
    "head_sha": "c0ffee",
    "head_branch": "better",
    "head_repository": {"owner": {"login": "ada"}},
    "pull_requests": [],
}


class Api(BaseHTTPRequestHandler):
    """GitHub's interface, as far as it is asked; artifacts lie on another host."""

    def do_GET(self):
        url = urlsplit(self.path)
        path, query = url.path.removeprefix("/repos/ada/penguins/"), dict(parse_qsl(url.query))
        github = self.server.github
        assert (self.headers["Authorization"] == "Bearer t0ken") != url.path.startswith("/blobs/")
        match path.split("/"):
            case ["actions", "runs", "7"]:
                self.answer(github["run"])
            case ["actions", "runs", "7", "jobs"]:
                self.answer({"jobs": github["jobs"]})
            case ["actions", "runs", "7", "artifacts"]:
                self.answer({"artifacts": github["artifacts"]})
            case ["actions", "artifacts", number, "zip"]:
                self.send_response(302)
                self.send_header("Location", f"/blobs/{number}")
                self.end_headers()
            case ["", "blobs", number]:
                self.answer((self.server.folder / f"{number}.zip").read_bytes())
            case ["pulls"]:
                labels = (query["head"], query["state"])
                self.answer([one for one in github["pulls"] if (one["head"]["label"], one["state"]) == labels])
            case ["issues", "3", "comments"]:
                start = (int(query["page"]) - 1) * int(query["per_page"])
                self.answer(github["comments"][start : start + int(query["per_page"])])

    def do_POST(self):
        comments = self.server.github["comments"]
        comments.append({"id": 1000 + len(comments), "user": {"login": BOT}, "body": self.body()})
        self.answer({})

    def do_PATCH(self):
        number = int(urlsplit(self.path).path.rpartition("/")[2])
        comment = next(one for one in self.server.github["comments"] if one["id"] == number)
        assert comment["user"]["login"] == BOT
        comment["body"] = self.body()
        self.answer({})

    def body(self) -> str:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"]
        assert len(body) <= 65_536
        return body

    def answer(self, content):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(content if isinstance(content, bytes) else json.dumps(content).encode())

    def log_message(self, *_):
        pass


class GitHub:
    """A repository with a pull request and a finished run."""

    def __init__(self, folder: Path, server: HTTPServer) -> None:
        self.folder, self.server = folder, server
        self.state = {"run": RUN, "jobs": [], "artifacts": [], "comments": []}
        server.github, server.folder = self.state, folder
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
        """Run the script, as the workflow does, from a folder with nothing in it; what it said."""
        env = {"GITHUB_API_URL": f"http://127.0.0.1:{self.server.server_port}", "GH_TOKEN": "t0ken", "RUN_ID": "7"}
        env |= {"PATH": os.environ["PATH"], "GITHUB_REPOSITORY": "ada/penguins"}
        done = subprocess.run([COMMENT], cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def body(self) -> str:
        assert len(self.state["comments"]) == 1
        return self.state["comments"][0]["body"]


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GitHub]:
    with HTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield GitHub(tmp_path, server)
        server.shutdown()


def test_the_report_is_one_comment_that_is_renewed(github):
    stranger = {"id": 1, "user": {"login": "grace"}, "body": "<!-- slipway: the report of the pipeline -->\nMine."}
    sibling = {"id": 2, "user": {"login": BOT}, "body": "Another workflow's."}
    many = [{"id": n, "user": {"login": "grace"}, "body": "+1"} for n in range(3, 203)]
    github.state["comments"] = [stranger, sibling, *many]
    github.report("## penguins: HOLD\n")
    github.artifact("image", 71_400_000)
    github.comment()
    first = github.state["comments"][202]
    assert "## penguins: HOLD" in first["body"]
    assert "71 MB" in first["body"]
    assert "https://github.example/runs/7/artifacts/1" in first["body"]
    github.report("## penguins: PROMOTE\n")
    github.comment()
    *untouched, second = github.state["comments"]
    assert untouched == [stranger, sibling, *many]
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
    heading, _, report = github.body.partition("written by that commit's code.")
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
