from pathlib import Path

import pytest

from checkouts import run
from overlays import commit_overlays, pinned
from slipway.deployed import Deployment, deployments
from slipway.versioning import find_commit, shallow_edge


@pytest.fixture
def checkout(tmp_path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    run(folder, "git", "init", "--quiet")
    run(folder, "git", "config", "user.name", "Ada")
    run(folder, "git", "config", "user.email", "ada@example.org")
    run(folder, "git", "commit", "--quiet", "--allow-empty", "--message", "First")
    return folder


def found(root: Path, revision: str = "HEAD") -> list[Deployment]:
    return deployments(root, revision=revision, edge=shallow_edge(root), unreadable=[])


def places(root: Path, revision: str = "HEAD") -> list[tuple[str, str, str | None, bool]]:
    """Overlay, first digit of the image, the commit that pinned it, and whether it still holds."""
    return [(d.overlay, d.pin.digest[0], d.commit, d.until is None) for d in found(root, revision)]


def test_each_overlay_has_a_history_of_its_own(checkout):
    first = commit_overlays(checkout, "a", {"staging": pinned("a"), "production": pinned("a")})
    second = commit_overlays(checkout, "b", {"staging": pinned("b")})
    commit_overlays(checkout, "a comment", {"staging": "# a comment\n" + pinned("b")})
    assert places(checkout) == [
        ("staging", "b", second, True),
        ("production", "a", first, True),
        ("staging", "a", first, False),
    ]
    assert set(places(checkout, first)) == {("staging", "a", first, True), ("production", "a", first, True)}


def test_an_overlay_that_is_gone_or_renamed_deploys_nothing_any_more(checkout):
    first = commit_overlays(checkout, "a", {"staging": pinned("a"), "production": pinned("a")})
    commit_overlays(checkout, "no staging", {"staging": None})
    run(checkout, "git", "mv", "k8s/overlays/production", "k8s/overlays/live")
    renamed = commit_overlays(checkout, "live", {})
    assert places(checkout)[0] == ("live", "a", renamed, True)
    assert set(places(checkout)[1:]) == {("staging", "a", first, False), ("production", "a", first, False)}


def test_without_overlays_nothing_is_deployed(checkout):
    assert found(checkout) == []


def test_an_overlay_that_cannot_be_read_is_told_and_the_pin_before_it_holds(checkout):
    first = commit_overlays(checkout, "a", {"production": pinned("a")})
    broken = commit_overlays(checkout, "broken", {"production": "images: ["})
    notes: list[str] = []
    [deployment] = deployments(checkout, revision="HEAD", edge=frozenset(), unreadable=notes)
    assert (deployment.commit, deployment.until) == (first, None)
    assert [note.startswith(f"{broken[:8]}:k8s/overlays/production/") for note in notes] == [True]


def test_a_merge_takes_what_it_says_and_not_what_its_branch_said(checkout):
    commit_overlays(checkout, "a", {"production": pinned("a")})
    trunk = run(checkout, "git", "symbolic-ref", "--short", "HEAD").strip()
    run(checkout, "git", "checkout", "--quiet", "-b", "side")
    commit_overlays(checkout, "b", {"production": pinned("b")})
    run(checkout, "git", "checkout", "--quiet", trunk)
    commit_overlays(checkout, "c", {"production": pinned("c")})
    run(checkout, "git", "merge", "--quiet", "--strategy", "ours", "--no-commit", "side")
    merged = commit_overlays(checkout, "merged", {"production": pinned("d")})
    now = [place for place in places(checkout) if place[3]]
    assert now == [("production", "d", merged, True)]


def test_the_first_commit_of_a_shallow_clone_is_not_said_to_have_pinned_what_it_holds(checkout, tmp_path):
    commit_overlays(checkout, "a", {"production": pinned("a")})
    run(checkout, "git", "commit", "--quiet", "--allow-empty", "--message", "Later")
    run(tmp_path, "git", "clone", "--quiet", "--depth", "1", checkout.as_uri(), "shallow")
    shallow = tmp_path / "shallow"
    assert shallow_edge(shallow) == {find_commit(shallow, "HEAD")}
    [deployment] = found(shallow)
    assert (deployment.commit, deployment.since, deployment.until) == (None, None, None)
    assert shallow_edge(checkout) == frozenset()
