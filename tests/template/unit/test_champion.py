"""What serves, as commits say: the decisions in champion.dvc, and what the overlays pin."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

from checkouts import ROOT, commit_files, make_repository, run
from overlays import commit_overlays, pinned
from slipway import cli
from slipway.champion import (
    Pin,
    fetch_champion,
    history,
    parse_pin,
    pin_history,
    pins,
    read_decision,
    serving_now,
    write_pin,
)
from slipway.champion import pinned as pinned_text
from slipway.problem import SlipwayError

PIN = Pin(f"ghcr.io/ada/penguins@sha256:{'a' * 64}", "123456789012", "c" * 40)


@pytest.fixture
def checkout(tmp_path) -> Path:
    folder = make_repository(tmp_path / "checkout")
    commit_files(folder, "First", {})
    return folder


def test_a_pin_by_hand_is_read_whole_though_its_version_looks_like_a_number():
    assert parse_pin(pinned("a"), "overlay") == Pin(f"ghcr.io/ada/penguins@sha256:{'a' * 64}", "123456789012", "c" * 40)


# part: kubernetes
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
    with pytest.raises(SlipwayError, match=r"^overlay: not a kustomization: .") as refused:
        parse_pin(text, "overlay")
    assert "\n" not in str(refused.value)


def test_what_is_wrong_with_a_kustomization_is_said_where_it_is(checkout):
    with pytest.raises(SlipwayError, match=r"kustomization: while parsing a flow .* in .*, line \d"):
        parse_pin("images: [", "overlay")
    commit_overlays(checkout, "broken", {"staging": pinned("a"), "production": "images: ["})
    with pytest.raises(SlipwayError, match=r"^HEAD:k8s/overlays/production/kustomization\.yaml: not a kustomization"):
        pins(checkout)


def test_what_is_pinned_is_read_of_a_commit_and_not_of_the_work_tree(checkout):
    assert pins(checkout) == {}
    commit_files(checkout, "Another's", {"vendor/k8s/overlays/other/kustomization.yaml": pinned("e")})
    first = commit_overlays(checkout, "a", {"staging": pinned("a"), "local": "resources: []\n"})
    commit_overlays(checkout, "b", {"staging": pinned("b")})
    (checkout / "k8s/overlays/staging/kustomization.yaml").write_text(pinned("d"))
    assert {name: pin.digest[0] for name, pin in pins(checkout).items()} == {"staging": "b"}
    assert pins(checkout, first) == {"staging": PIN}


def test_the_history_lists_each_pin_with_the_commit_that_wrote_it(checkout):
    commit_files(checkout, "Others", {"k8s/base/kustomization.yaml": pinned("e"), "list.yaml": "- a"})
    first = commit_overlays(checkout, "a", {"staging": pinned("a"), "production": pinned("a")})
    commit_overlays(checkout, "broken", {"production": "images: ["})
    last = commit_overlays(checkout, "b", {"production": pinned("b")})
    notes: list[str] = []
    found = pin_history(checkout, unreadable=notes)
    assert [(one.overlay, one.pin.digest[0], one.commit) for one in found[:1]] == [("production", "b", last)]
    assert {(one.overlay, one.commit) for one in found[1:]} == {("staging", first), ("production", first)}
    assert ["not a kustomization" in note for note in notes] == [True]
    assert pin_history(checkout, first) == found[1:]
    with pytest.raises(SlipwayError, match="not a kustomization"):
        pin_history(checkout)


# part: kubernetes
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


def pointer(digit: str, **said: str) -> str:
    meta = {"digest": digit * 64, "action": "promote", "verdict": "PROMOTE", "reason": "r", "who": "w", **said}
    return json.dumps({"outs": [], "meta": meta})


def test_what_serves_is_what_the_last_commit_says_and_not_the_work_tree(checkout):
    assert (serving_now(checkout), read_decision(checkout), history(checkout)) == (None, None, [])
    first = commit_files(checkout, "First", {"champion.dvc": pointer("a", other="is left out")})
    commit_files(checkout, "Second", {"champion.dvc": pointer("b", name="m", previous="a" * 12)})
    (checkout / "champion.dvc").write_text(pointer("c"))
    for decision in (serving_now(checkout), read_decision(checkout)):
        assert (decision.version, decision.previous, decision.name) == ("b" * 12, "a" * 12, "m")
    assert serving_now(checkout, first).digest == "a" * 64
    assert serving_now(checkout, first).rolled_back == []
    (checkout / "champion.dvc").unlink()
    assert read_decision(checkout) is None  # this checkout is to have no champion
    assert serving_now(checkout).version == "b" * 12


def test_a_commit_whose_pointer_does_not_say_what_was_released_is_named(checkout):
    commit_files(checkout, "First", {"champion.dvc": "outs: []\n"})
    with pytest.raises(SlipwayError, match=r"^HEAD:champion\.dvc: does not say what was released"):
        serving_now(checkout)


def test_the_history_lists_the_releases_newest_first_and_passes_by_what_it_cannot_read(checkout):
    commit_files(checkout, "Another pointer", {"data.dvc": "outs: []\n"})
    commits = [
        commit_files(checkout, f"{n}", {"champion.dvc": text})
        for n, text in enumerate([pointer("a"), "outs: []\n", None, pointer("b")])
    ]
    notes: list[str] = []
    found = history(checkout, unreadable=notes)
    assert [(one.decision.version[0], one.commit) for one in found] == [("b", commits[3]), ("a", commits[0])]
    assert found[0].when == run(checkout, "git", "log", "-1", "--format=%cI").strip()
    assert [note.startswith(f"{commits[1][:8]}:champion.dvc: does not say what") for note in notes] == [True]
    with pytest.raises(SlipwayError, match=f"^{commits[1][:8]}:champion.dvc: does not say what was released"):
        history(checkout)
    assert [one.commit for one in history(checkout, revisions=(commits[0],))] == [commits[0]]


def test_a_commit_that_repeats_the_decision_is_no_release(checkout):
    first = commit_files(checkout, "Released", {"champion.dvc": pointer("a")})
    commit_files(checkout, "Its evaluation, made again", {"champion.dvc": pointer("a") + "# evaluated\n"})
    assert [one.commit for one in history(checkout)] == [first]


def test_the_champion_is_fetched_unless_its_bundle_is_here(checkout, monkeypatch):
    fetched = []
    monkeypatch.setattr("slipway.champion.fetch", lambda *arguments: fetched.append(arguments))
    assert fetch_champion(checkout) is None
    manifest = b"a manifest"
    commit_files(checkout, "First", {"champion.dvc": pointer("a", digest=sha256(manifest).hexdigest())})
    for content, times in ((None, 1), (b"another manifest", 2), (manifest, 2)):
        if content:
            (checkout / "champion/bundle").mkdir(parents=True, exist_ok=True)
            (checkout / "champion/bundle/manifest.json").write_bytes(content)
        assert fetch_champion(checkout).digest == sha256(manifest).hexdigest()
        assert fetched == [(checkout, "champion.dvc")] * times


def test_of_several_images_the_models_is_the_one_and_else_the_first():
    image = "  - name: {}\n    newName: {}\n    digest: sha256:" + "d" * 64 + "\n"
    text = "images:\n" + image.format("proxy", "registry/proxy") + image.format("other", "registry/other")
    assert parse_pin(text, "overlay") == Pin(f"registry/proxy@sha256:{'d' * 64}", None, None)
    text += image.format("slipway", "registry/model")
    assert parse_pin(text, "overlay").image == f"registry/model@sha256:{'d' * 64}"
    assert parse_pin(text.replace("    newName: registry/model\n", ""), "o").image == f"slipway@sha256:{'d' * 64}"


def test_a_pin_of_zeros_and_an_empty_file_are_no_pin():
    zeros = pinned("a", version="0" * 12, commit="0" * 40)
    assert parse_pin(zeros, "overlay") == Pin(PIN.image, None, None)
    assert parse_pin(zeros.replace("a" * 64, "0" * 64), "overlay") is None
    assert parse_pin("", "overlay") is None


def test_a_pin_is_written_beside_other_images_annotations_and_settings():
    before = (
        "# a comment\n"
        "images:\n"
        "  - name: proxy\n"
        "    newTag: '1'\n"
        "commonAnnotations:\n"
        '  mine: "kept"  # as it is\n'
        "configMapGenerator:\n"
        "  - name: empty\n"
        "  - name: slipway\n"
        "    literals:\n"
        "      - SLIPWAY_THREADS=1\n"
        "      - SLIPWAY_EXPECTED=\n"
    )
    assert pinned_text(before, PIN) == (
        "# a comment\n"
        "images:\n"
        "  - name: proxy\n"
        "    newTag: '1'\n"
        "  - name: slipway\n"
        "    newName: ghcr.io/ada/penguins\n"
        f"    digest: sha256:{'a' * 64}\n"
        "commonAnnotations:\n"
        '  mine: "kept"  # as it is\n'
        '  slipway/model-version: "123456789012"\n'
        f'  slipway/commit: "{"c" * 40}"\n'
        "configMapGenerator:\n"
        "  - name: empty\n"
        "  - name: slipway\n"
        "    literals:\n"
        "      - SLIPWAY_THREADS=1\n"
        "      - SLIPWAY_EXPECTED=123456789012\n"
    )


def test_a_long_line_of_an_overlay_is_not_broken():
    text = f"resources:\n  - {'a/b ' * 100}c\n"
    assert pinned_text(text, PIN).startswith(text)


@pytest.mark.parametrize(("made", "said"), [("b", "bbbbbbbbbbbb is the champion now, instead of"), (None, "already")])
def test_promote_points_mlflows_alias_at_what_serves_also_if_an_earlier_call_was_interrupted(
    checkout, monkeypatch, made, said
):
    commit_files(checkout, "Release", {"champion.dvc": pointer("b")})
    pointed = []
    monkeypatch.setattr("slipway.release.promote", lambda at, **_: serving_now(at.root) if made else None)
    monkeypatch.setattr(
        "slipway.cli.release.update_mlflow", lambda at, digest, _, alias: pointed.append((digest, alias))
    )
    done = CliRunner().invoke(cli.main, ["--root", str(checkout), "promote"])
    assert said in done.output
    assert pointed == [("b" * 64, "champion")]
