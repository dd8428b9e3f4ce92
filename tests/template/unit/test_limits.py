"""A sealed bundle whose model never ends or takes all memory is refused, and the limit that it passed is named."""

import resource
import threading

import onnx
import pytest
from onnx import TensorProto, helper

from slipway.model.bundle import BundleError, write_bundle
from slipway.model.limits import limited
from slipway.model.predictor import Predictor
from unit.test_bundle import FILES, MANIFEST


def _model(nodes, constants) -> bytes:
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.DOUBLE, shape)
        for name, shape in (("x", [None, 1]), ("y", None))
    )
    graph = helper.make_graph(nodes, "graph", [x], [y], constants)
    return onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


def endless() -> bytes:
    """A loop of 2**62 rounds."""
    types = {"i": TensorProto.INT64, "go": TensorProto.BOOL, "v": TensorProto.DOUBLE}
    given = [helper.make_tensor_value_info(name, kind, None if name == "v" else []) for name, kind in types.items()]
    made = [helper.make_tensor_value_info(f"{name}2", types[name], None if name == "v" else []) for name in ("go", "v")]
    nodes = [helper.make_node("Identity", [name], [f"{name}2"]) for name in ("go", "v")]
    body = helper.make_graph(nodes, "body", given, made)
    constants = [
        helper.make_tensor("rounds", TensorProto.INT64, [], [2**62]),
        helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
    ]
    return _model([helper.make_node("Loop", ["rounds", "yes", "x"], ["y"], body=body)], constants)


def huge() -> bytes:
    """A tensor of 4 GB."""
    one = helper.make_tensor("one", TensorProto.DOUBLE, [1], [1.0])
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["ones"], value=one),
        helper.make_node("ReduceSum", ["ones"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    return _model(nodes, [helper.make_tensor("shape", TensorProto.INT64, [1], [2**29])])


@pytest.mark.parametrize(
    ("model", "words"),
    [(endless, "takes longer than the limit of 0.5 seconds"), (huge, "takes more than the limit of .* MB of memory")],
)
def test_a_model_that_passes_a_limit_is_refused_by_the_limits_name(tmp_path, monkeypatch, model, words):
    write_bundle(tmp_path / "bundle", MANIFEST, {**FILES, "model.onnx": model()})
    monkeypatch.setattr("slipway.model.predictor.SECONDS", 0.5 if model is endless else 60)
    monkeypatch.setattr("slipway.model.predictor.MEMORY", 1 << 28)
    with pytest.raises(BundleError, match=f"model.onnx: .*{words}"):
        Predictor.load(tmp_path / "bundle")


def test_a_file_that_is_no_model_is_refused_by_name(tmp_path):
    write_bundle(tmp_path / "bundle", MANIFEST, FILES)
    with pytest.raises(BundleError, match=r"model.onnx: cannot be loaded or run"):
        Predictor.load(tmp_path / "bundle")


def test_within_the_limits_a_result_or_an_error_comes_back():
    assert limited(lambda: 3, seconds=60, memory=1 << 28) == 3
    with pytest.raises(ZeroDivisionError):
        limited(lambda: 1 // 0, seconds=60, memory=1 << 28)


@pytest.mark.parametrize("fails", [False, True])
def test_the_memory_limit_holds_only_while_the_function_runs(fails):
    before, inside = resource.getrlimit(resource.RLIMIT_DATA), []

    def look():
        inside.append(resource.getrlimit(resource.RLIMIT_DATA)[0])
        return bytearray(1 << 30) if fails else None

    if fails:
        with pytest.raises(MemoryError, match="268 MB"):
            limited(look, seconds=60, memory=1 << 28)
    else:
        limited(look, seconds=60, memory=1 << 28)
    assert inside != [before[0]]
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_the_time_limit_does_not_wait_for_the_function(monkeypatch):
    monkeypatch.setattr("slipway.model.limits.GRACE", 0.01)
    never = threading.Event()
    with pytest.raises(TimeoutError, match=r"0.1 seconds"):
        limited(never.wait, seconds=0.1, memory=1 << 28)
    never.set()


def test_a_function_that_never_ends_does_not_keep_the_process():
    assert limited(lambda: threading.current_thread().daemon, seconds=60, memory=1 << 28)
