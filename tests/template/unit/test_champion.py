"""What the overlays pin: read at a revision, listed over the history, written."""

from pathlib import Path

import pytest

from checkouts import ROOT, run
from overlays import commit_overlays, pinned
from slipway.champion import Pin, parse_pin, pin_history, pins, write_pin
from slipway.champion import pinned as pinned_text
from slipway.problem import SlipwayError

PIN = Pin(f"ghcr.io/ada/penguins@sha256:{'a' * 64}", "123456789012", "c" * 40)


@pytest.fixture
def checkout(tmp_path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    run(folder, "git", "init", "--quiet")
    run(folder, "git", "config", "user.name", "Ada")
    run(folder, "git", "config", "user.email", "ada@example.org")
    run(folder, "git", "commit", "--quiet", "--allow-empty", "--message", "First")
    return folder


def test_a_pin_by_hand_is_read_whole_though_its_version_looks_like_a_number():
    assert parse_pin(pinned("a"), "overlay") == Pin(f"ghcr.io/ada/penguins@sha256:{'a' * 64}", "123456789012", "c" * 40)


def test_what_the_template_ships_is_no_pin_yet_and_a_tag_is_none():
    for path in sorted((ROOT / "k8s" / "overlays").glob("*/kustomization.yaml")):
        if "0" * 64 in path.read_text() or "newTag" in path.read_text():
            assert parse_pin(path.read_text(), "overlay") is None


def test_an_image_beside_the_model_is_not_taken_for_it():
    proxy = f"images:\n  - name: proxy\n    digest: sha256:{'d' * 64}"
    pin = parse_pin(pinned("a").replace("images:", proxy), "overlay")
    assert pin is not None
    assert pin.digest == "a" * 64


@pytest.mark.parametrize("text", ["images: [", "images: 1", "- a", "images: [1]", "images: [{digest: 'sha256:ab'}]"])
def test_what_is_no_kustomization_is_an_error_that_says_so(text):
    with pytest.raises(SlipwayError, match="overlay: not a kustomization: "):
        parse_pin(text, "overlay")


def test_what_is_pinned_is_read_of_a_commit_and_not_of_the_work_tree(checkout):
    assert pins(checkout) == {}
    first = commit_overlays(checkout, "a", {"staging": pinned("a"), "local": "resources: []\n"})
    commit_overlays(checkout, "b", {"staging": pinned("b")})
    (checkout / "k8s/overlays/staging/kustomization.yaml").write_text(pinned("d"))
    assert {name: pin.digest[0] for name, pin in pins(checkout).items()} == {"staging": "b"}
    assert pins(checkout, first) == {"staging": PIN}


def test_the_history_lists_each_pin_with_the_commit_that_wrote_it(checkout):
    first = commit_overlays(checkout, "a", {"staging": pinned("a"), "production": pinned("a")})
    commit_overlays(checkout, "broken", {"production": "images: ["})
    last = commit_overlays(checkout, "b", {"production": pinned("b")})
    notes: list[str] = []
    found = pin_history(checkout, unreadable=notes)
    assert [(one.overlay, one.pin.digest[0], one.commit) for one in found[:1]] == [("production", "b", last)]
    assert {(one.overlay, one.commit) for one in found[1:]} == {("staging", first), ("production", first)}
    assert ["not a kustomization" in note for note in notes] == [True]
    with pytest.raises(SlipwayError, match="not a kustomization"):
        pin_history(checkout)


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_writing_a_pin_changes_its_five_values_and_nothing_else(overlay, tmp_path):
    source = ROOT / "k8s/overlays" / overlay / "kustomization.yaml"
    path = tmp_path / "k8s/overlays" / overlay / "kustomization.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(source.read_text())
    assert write_pin(tmp_path, overlay, PIN) == path
    assert parse_pin(path.read_text(), "overlay") == PIN
    before, after = source.read_text().splitlines(), path.read_text().splitlines()
    changed = [new.strip() for old, new in zip(before, after, strict=True) if old != new]
    assert changed[:4] == [
        "newName: ghcr.io/ada/penguins",
        f"digest: sha256:{'a' * 64}",
        'slipway/model-version: "123456789012"',
        f'slipway/commit: "{"c" * 40}"',
    ]
    assert [line.startswith("- SLIPWAY_EXPECTED=123456789012 #") for line in changed[4:]] == [True]


def test_an_overlay_without_a_pin_gets_one(tmp_path):
    path = tmp_path / "k8s/overlays/here/kustomization.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("resources: [../../base]\nimages:\n  - name: slipway\n    newTag: local\n")
    write_pin(tmp_path, "here", PIN)
    assert parse_pin(path.read_text(), "overlay") == PIN
    assert "newTag" not in path.read_text()


@pytest.mark.parametrize(
    "wrong", [("slipway:1", "1" * 12, "c" * 40), (PIN.image, "1", "c" * 40), (PIN.image, "1" * 12, None)]
)
def test_half_a_pin_is_refused(wrong):
    with pytest.raises(SlipwayError, match="not an image name@sha256"):
        pinned_text("resources: []\n", Pin(*wrong))


def test_an_overlay_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SlipwayError, match=r"overlays/staging/kustomization\.yaml: no such overlay"):
        write_pin(tmp_path, "staging", PIN)
