"""A branch with a request to merge it, as GitHub, GitLab and other remotes take it."""

import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from checkouts import commit_files, make_repository, run
from slipway.http import Answer
from slipway.problem import SlipwayError
from slipway.release.proposal import LIMIT, propose

CI = ("GITLAB_CI", "GITHUB_ACTIONS", "GITHUB_REPOSITORY", "GITHUB_API_URL", "GH_TOKEN")


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A checkout with a commit, and a bare repository as its remote, which writes down what a push tells it."""
    for name in CI:
        monkeypatch.delenv(name, raising=False)
    there = tmp_path / "there"
    run(tmp_path, "git", "init", "--quiet", "--bare", str(there))
    run(there, "git", "config", "receive.advertisePushOptions", "true")
    (there / "hooks").mkdir(exist_ok=True)
    (there / "hooks/post-receive").write_text(f"#!/bin/sh\nenv >{tmp_path / 'pushed'}\n")
    (there / "hooks/post-receive").chmod(0o755)
    root = make_repository(tmp_path / "checkout")
    run(root, "git", "remote", "add", "there", str(there))
    commit_files(root, "First", {"a": "1"})
    return root


def push(root: Path, text: str = "why\nso") -> str:
    return propose(root, "there", "release/1", "main", "A title", text)


def told(root: Path) -> set[str]:
    """What the last push told the remote."""
    lines = (root.parent / "pushed").read_text().splitlines()
    return {line.partition("=")[2] for line in lines if line.startswith("GIT_PUSH_OPTION_") and "COUNT" not in line}


def test_the_branch_is_pushed_and_another_time_replaced(root):
    assert push(root) == "Proposed on the branch `release/1`: A title"
    run(root, "git", "commit", "--quiet", "--amend", "--message", "Another")
    push(root)
    there = run(root, "git", "ls-remote", "there").split()
    assert there == [run(root, "git", "rev-parse", "HEAD").strip(), "refs/heads/release/1"]
    assert told(root) == set()


def test_gitlab_is_told_all_of_a_merge_request_each_in_one_line(root, monkeypatch):
    monkeypatch.setenv("GITLAB_CI", "true")
    push(root)
    assert told(root) == {
        "merge_request.create",
        "merge_request.remove_source_branch",
        "merge_request.target=main",
        "merge_request.title=A title",
        r"merge_request.description=why\nso",
    }


@pytest.fixture
def github(monkeypatch):
    """GitHub, which gives these answers; each question with the service's URL, key, path, body and method."""
    asked, answers = [], []

    class Service:
        def __init__(self, url, *, key):
            self.at = (url, key)

        def ask(self, path, body=None, *, method=None):
            asked.append((*self.at, path, body, method))
            return answers.pop(0)

    monkeypatch.setattr("slipway.release.proposal.Service", Service)

    def answer(root, *given, text="why"):
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("GITHUB_REPOSITORY", "ada/penguins")
        answers[:], asked[:] = given, []
        push(root, text)
        return asked

    return answer


def test_github_opens_a_pull_request_or_renews_the_one_that_is_open(root, github, monkeypatch):
    monkeypatch.setenv("GH_TOKEN", "t0ken")
    look, opened = github(root, Answer(200, []), Answer(201, {}), text="x" * (LIMIT + 1))
    assert look[:2] == opened[:2] == ("https://api.github.com", "t0ken")
    url = urlsplit(look[2])
    assert (url.path, look[3:]) == ("/repos/ada/penguins/pulls", (None, None))
    assert parse_qs(url.query) == {"state": ["open"], "head": ["ada:release/1"], "base": ["main"]}
    text = "x" * LIMIT
    assert opened[2:] == (
        "/repos/ada/penguins/pulls",
        {"head": "release/1", "base": "main", "title": "A title", "body": text},
        None,
    )
    monkeypatch.setenv("GITHUB_API_URL", "https://github.example.org/api/v3")
    _, renewed = github(root, Answer(200, [{"number": 7}, {"number": 6}]), Answer(200, {}))
    assert renewed[0] == "https://github.example.org/api/v3"
    assert renewed[2:] == ("/repos/ada/penguins/pulls/7", {"title": "A title", "body": "why"}, "PATCH")


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([Answer(404, "not here")], "404 not here"),
        ([Answer(0, "timed out")], "no answer: timed out"),
        ([Answer(200, []), Answer(403, "not permitted")], "403 not permitted"),
        ([Answer(200, []), Answer(300, "choose")], "300 choose"),
    ],
)
def test_where_github_refuses_the_branch_is_there_and_the_way_out_is_said(answers, words, root, github):
    said = rf"^the branch release/1 is pushed, but no pull request could be opened: {words}\. Open it by hand"
    with pytest.raises(SlipwayError, match=said):
        github(root, *answers)
    assert "release/1" in run(root, "git", "ls-remote", "there")
    assert "GH_TOKEN" not in os.environ
