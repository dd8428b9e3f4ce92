"""What goes into the image: only what is named, from locks, the same every time."""

from __future__ import annotations

import os
import re
from pathlib import Path

import grimp
import pytest

from ops.engine import BASE, HARDENED, ROOT, Container, context, docker, inspect, make_image, need_engine, run
from serving import bundles
from slipway.cli.smoke import Service, smoke
from slipway.model.bundle import read_bundle

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
DOCKERFILES = [ROOT / "Dockerfile", *ROOT.glob("stack/*/Dockerfile")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bundle of each runtime."""
    folders = {runtime: tmp_path_factory.mktemp("made") / "bundle" for runtime in ("onnx", "skops")}
    for runtime, folder in folders.items():
        bundles.write(folder, runtime=runtime)
    return folders


def test_the_code_in_the_image_is_what_the_service_reaches():
    graph = grimp.build_graph("slipway", "project")
    served = graph.find_upstream_modules("project.app") | graph.find_upstream_modules(
        "slipway.serving", as_package=True
    )
    rooms = {module.split(".")[1] for module in served if module.startswith("slipway.")}
    copied = set(re.findall(r"src/slipway/(\w+)", DOCKERFILE))
    assert copied == rooms | {"__init__"}
    # Of the problem only its declaration is copied (.dockerignore).
    assert not [module for module in served if module.startswith("slipway.problem.")]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_hadolint_finds_nothing(path):
    assert run("hadolint", "--failure-threshold", "style", path).stdout == ""


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_installed_without_its_hash(path):
    text = path.read_text("utf-8").replace("\\\n", " ")
    installs = re.findall(r"pip [^&\n]*install[^&\n]*", text)
    assert installs
    assert all("--require-hashes" in line and "--only-binary :all:" in line for line in installs)
    assert not re.search(r"curl|wget|apt-get|ADD http", text)


def test_nothing_enters_the_build_but_what_is_named(made, tmp_path):
    need_engine()
    folder = context(tmp_path, made["onnx"])
    for decoy in (".env", "data/rows.csv", "champion/.cache", "build/table/train.parquet", "tests/secret.py", "a.pem"):
        (folder / decoy).parent.mkdir(parents=True, exist_ok=True)
        (folder / decoy).write_text("decoy")
    every = tmp_path / "Every"
    every.write_text(f"FROM {BASE}\nCOPY . /context\n")
    image = docker("build", "--quiet", "--file", every, folder)
    listed = docker("run", "--rm", image, "find", "/context", "-type", "f", "-printf", "%P\n").splitlines()
    docker("image", "rm", image)
    code = r"src/slipway/(\w+\.py|problem/__init__.py|(contract|model|serving)/.+)|src/project/.+"
    known = code + r"|champion/(bundle|evaluation)/\w+\.\w+"
    assert {file for file in listed if not re.fullmatch(known, file)} == {
        "champion/decision.json",
        "pyproject.toml",
        "requirements.txt",
        "requirements-signing.txt",  # part: signing
        "requirements-skops.txt",
        "requirements-store.txt",
    }
    assert not {"src/slipway/cli/__init__.py", "src/slipway/gate/__init__.py"} & set(listed)


def test_equal_inputs_give_equal_layers(made, tmp_path):
    """Another checkout, at another time, with other modes, and nothing from the cache."""
    need_engine()
    images = []
    for name, mode, flags in (("one", 0o644, ""), ("other", 0o664, "--no-cache")):
        (tmp_path / name).mkdir()
        folder = context(tmp_path / name, made["onnx"])
        for path in folder.rglob("*"):
            if path.is_file() and ".git" not in path.parts:
                path.chmod(mode)
                os.utime(path, (1_700_000_000 + mode, 1_700_000_000 + mode))
        images.append(make_image(folder, f"slipway-test:{name}", flags=flags))
    first, second = (inspect(image)["RootFS"]["Layers"] for image in images)
    assert first == second


def test_another_model_changes_one_layer_alone(made, tmp_path):
    need_engine()
    layers = []
    for name in ("rose", "lily"):
        bundles.write(tmp_path / "made" / name, name=name)
        (tmp_path / name).mkdir()
        image = make_image(context(tmp_path / name, tmp_path / "made" / name), f"slipway-test:{name}")
        layers.append(inspect(image)["RootFS"]["Layers"])
    assert len(set(layers[1]) - set(layers[0])) == 1


def test_a_bundle_that_needs_scikit_learn_gets_it(made, tmp_path):
    need_engine()
    image = make_image(context(tmp_path, made["skops"]), "slipway-test:skops")
    options = [*HARDENED, "--memory", "512m", "--publish", "127.0.0.1::8000"]
    with Container(image, *options) as container:
        smoke(Service(container.url), read_bundle(made["skops"]), wait=60)
        assert container.stop() == 0
    packages = docker("run", "--rm", "--entrypoint", "sh", image, "-c", "ls /opt/venv/lib/python*/site-packages")
    assert {"sklearn", "skops"} <= set(packages.split())
