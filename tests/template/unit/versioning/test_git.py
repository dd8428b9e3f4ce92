"""What Slipway asks of Git, in small repositories."""

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from checkouts import commit_files, make_repository, run
from slipway import versioning
from slipway.problem import SlipwayError
from slipway.release.record import author
from slipway.versioning import FileVersion, file_at, file_history, files_at, find_commit, git


@pytest.fixture
def root(tmp_path) -> Path:
    return make_repository(tmp_path / "checkout")


def test_git_gives_what_it_prints_and_its_words_when_it_fails(root, tmp_path):
    assert git(root, "rev-parse", "--is-inside-work-tree") == "true\n"
    with pytest.raises(SlipwayError, match=rf"^git show failed in {root}: fatal: .*'nowhere'"):
        git(root, "show", "nowhere")
    with pytest.raises(SlipwayError, match="missing: no such folder"):
        git(tmp_path / "missing", "status")


def test_what_git_prints_though_it_is_no_error_is_shown_when_it_fails(root):
    commit_files(root, "First", {"a": "1"})
    with pytest.raises(SlipwayError, match=r"(?s)git commit failed in .*nothing to commit"):
        git(root, "commit", "--message", "Nothing")


def test_without_git_the_message_says_so(root, monkeypatch):
    monkeypatch.setenv("PATH", str(root))
    with pytest.raises(SlipwayError, match=r"^git is not installed, or not on PATH$"):
        git(root, "status")


def test_bytes_that_are_no_text_are_no_error(root):
    (root / "latin").write_bytes(b"caf\xe9")
    commit_files(root, "First", {})
    assert git(root, "show", "HEAD:latin") == "caf\ufffd"
    assert file_at(root, "HEAD", "latin") == "caf\ufffd"


def test_a_file_is_read_of_a_revision_whole_and_none_if_it_was_not_there(root):
    assert file_at(root, "HEAD", "a") is None
    first = commit_files(root, "First", {"a": "1\n", "sub/a": "below"})
    commit_files(root, "Second", {"a": "2"})
    (root / "a").write_text("3")
    assert [file_at(root, revision, "a") for revision in (first, "HEAD", "HEAD~2")] == ["1\n", "2", None]
    assert file_at(root / "sub", "HEAD", "a") == "below"


def test_files_read_at_once_are_kept_apart_whatever_they_hold(root):
    odd = {"empty": "", "like an answer": "x missing\nabc blob 3\n", "lines": "a\n\nb", "ü": "é"}
    commit_files(root, "First", odd)
    names = [*odd, "gone", *reversed(odd)]
    assert list(files_at(root, [("HEAD", name) for name in names])) == [odd.get(name) for name in names]
    assert list(files_at(root, [])) == []


def test_the_history_of_a_file_is_listed_newest_first_with_its_removal(root):
    assert file_history(root, "a") == []
    first = commit_files(root, "First", {"a": "1", "b": "1"})
    commit_files(root, "Another file", {"b": "2"})
    second = commit_files(root, "Second", {"a": "2"})
    removed = commit_files(root, "Gone", {"a": None})
    found = file_history(root, "a")
    assert [(one.commit, one.path, one.text) for one in found] == [
        (removed, "a", None),
        (second, "a", "2"),
        (first, "a", "1"),
    ]
    assert found[0].when == run(root, "git", "log", "-1", "--format=%cI").strip()
    assert file_history(root, "a", revisions=(first,)) == found[2:]
    assert file_history(root, "nothing") == []


def test_a_renamed_file_counts_as_a_removed_and_a_new_one(root):
    commit_files(root, "First", {"a": "the same text in both\n" * 10})
    moved = commit_files(root, "Move", {"a": None, "b": "the same text in both\n" * 10})
    assert [(one.path, one.text is None) for one in file_history(root, "a", "b") if one.commit == moved] == [
        ("a", True),
        ("b", False),
    ]


def test_the_history_below_a_folder_names_files_from_there_and_takes_patterns(root):
    first = commit_files(root, "First", {"k8s/a/k.yaml": "1", "k8s/b/k.yaml": "2", "other": "3"})
    when = run(root, "git", "log", "-1", "--format=%cI").strip()
    assert file_history(root / "k8s", ":(glob)*/k.yaml") == [
        FileVersion(first, when, "a/k.yaml", "1"),
        FileVersion(first, when, "b/k.yaml", "2"),
    ]


def test_of_a_merge_only_what_it_changed_itself_is_listed(root):
    base = commit_files(root, "Base", {"a": "0", "b": "0"})
    theirs = commit_files(root, "Theirs", {"a": "1"})
    run(root, "git", "checkout", "--quiet", "-b", "ours", base)
    ours = commit_files(root, "Ours", {"b": "1"})
    run(root, "git", "merge", "--quiet", "--no-edit", theirs)
    assert {one.commit for one in file_history(root, "a", "b")} == {base, theirs, ours}
    assert file_history(root, "b", revisions=("main",)) == [one for one in file_history(root, "b") if one.text == "0"]
    run(root, "git", "checkout", "--quiet", "main")
    assert {one.commit for one in file_history(root, "b", revisions=("--all", "HEAD"))} == {ours, base}


def test_a_commit_is_found_by_any_name_and_nothing_else_is_one(root):
    assert find_commit(root, "HEAD") is None
    first = commit_files(root, "First", {"a": "1"})
    assert [find_commit(root, name) for name in ("HEAD", "main", first[:9], first)] == [first] * 4
    assert [find_commit(root, name) for name in ("nowhere", "", "--all", "0" * 40, "HEAD:a")] == [None] * 5


def test_where_git_cannot_tell_its_words_are_shown_instead_of_no(tmp_path):
    for ask in (
        lambda root: find_commit(root, "HEAD"),
        versioning.current_branch,
        lambda root: file_history(root, "a"),
    ):
        with pytest.raises(SlipwayError, match="not a git repository"):
            ask(tmp_path)


def test_the_branch_that_is_checked_out_is_named_also_before_its_first_commit(root):
    assert versioning.current_branch(root) == "main"
    commit_files(root, "First", {})
    run(root, "git", "checkout", "--quiet", "-b", "feature/x")
    assert versioning.current_branch(root) == "feature/x"
    run(root, "git", "checkout", "--quiet", "--detach")
    assert versioning.current_branch(root) is None


def test_an_ancestor_is_in_the_history_or_the_commit_itself(root):
    first, second = (commit_files(root, name, {}) for name in ("First", "Second"))
    run(root, "git", "checkout", "--quiet", "-b", "other", first)
    third = commit_files(root, "Third", {})
    asked = [(first, first), (first, second), (second, first), (second, third), (third, second)]
    assert [versioning.is_ancestor(root, *pair) for pair in asked] == [True, True, False, False, False]


def test_changed_files_are_the_tracked_ones_named_from_the_folder(root):
    commit_files(root, "First", {"a": "1", "b": "1", "sub/ü x": "1", "same": "1"})
    assert versioning.changed_files(root) == []
    (root / "a").write_text("2")
    (root / "b").unlink()
    (root / "sub/ü x").write_text("2")
    (root / "new").write_text("1")
    run(root, "git", "add", "a")
    assert versioning.changed_files(root) == ["a", "b", "sub/ü x"]
    assert versioning.changed_files(root / "sub") == ["ü x"]


def test_the_author_is_named_as_git_would_and_one_that_it_does_not_know_is_an_error(root, monkeypatch):
    run(root, "git", "config", "user.name", "Ada King Lovelace")
    assert author(root) == "Ada King Lovelace <ada@example.org>"
    run(root, "git", "config", "--unset", "user.email")
    run(root, "git", "config", "user.useConfigOnly", "true")
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.delenv("EMAIL", raising=False)
    with pytest.raises(SlipwayError, match=r"user\.email"):
        author(root)


def test_a_lock_of_gits_index_is_removed_unless_a_git_is_at_work_there(root, tmp_path):
    commit_files(root, "First", {"a": "1", "sub/b": "1"})
    lock = root / ".git/index.lock"
    elsewhere = make_repository(tmp_path / "elsewhere")
    for folder, stays in ((elsewhere, False), (root / "sub", True), (root, True)):
        lock.touch()
        command = ["git", "hash-object", "--stdin"]  # waits for its input
        with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as at_work:
            (root / "a").write_text(str(folder))
            if stays:
                with pytest.raises(SlipwayError, match=r"git add failed .*index\.lock"):
                    git(root, "add", "a")
            else:
                git(root, "add", "a")
            assert lock.exists() == stays
            at_work.communicate(b"")
    lock.touch()
    git(root / "sub", "add", "../a")
    assert not lock.exists()


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("{root}/.dvc/store", ".dvc/store"),
        ("{root}", "."),
        ("{root}-beside/store", None),
        ("/elsewhere", None),
        ("s3://bucket/store", None),
        ("store", None),
        (None, None),
    ],
)
def test_only_a_remote_inside_of_the_repository_is_committed_with_it(root, url, folder):
    remote = {} if url is None else {"store": {"url": url.format(root=root)}, "other": {"url": str(root / "other")}}
    config = {"remote": remote, "core": {"remote": "store"}}
    assert versioning.remote_folder(root, SimpleNamespace(config=config)) == folder


def test_without_a_default_remote_there_is_no_folder(root):
    config = {"remote": {"store": {"url": str(root / "store")}}, "core": {}}
    assert versioning.remote_folder(root, SimpleNamespace(config=config)) is None


def test_a_pointer_is_read_here_or_at_a_revision(root):
    assert versioning.pointed(root, "data.dvc") == ""
    commit_files(root, "First", {"data.dvc": "outs:\n- md5: 0123456789abcdef.dir\n  path: data\n"})
    (root / "data.dvc").write_text("outs:\n- md5: fedcba9876543210.dir\n")
    assert versioning.pointed(root, "data.dvc") == "fedcba9876543210.dir"
    assert versioning.pointed(root, "data.dvc", "HEAD") == "0123456789abcdef.dir"
    assert versioning.pointed(root, "champion.dvc", "HEAD") == ""
    assert [versioning.short(digest) for digest in ("0123456789abcdef", "")] == ["01234567", "none"]
