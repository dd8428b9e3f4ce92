import pytest

from checkouts import copy_checkout, run
from slipway import reproduction
from slipway.model.bundle import read_bundle
from slipway.problem import SlipwayError
from slipway.reproduction import make_again
from slipway.workspace import Workspace

pytestmark = pytest.mark.xdist_group("reproduction")  # its checkout takes a while to make


@pytest.fixture(scope="module")
def ran(original, tmp_path_factory) -> Workspace:
    """A checkout whose results DVC knows; reproducing leaves it as it is."""
    workspace = copy_checkout(original, tmp_path_factory.mktemp("ran") / "checkout")
    run(workspace.root, "dvc", "commit", "--quiet", "--force")
    return workspace


@pytest.fixture
def elsewhere(ran, monkeypatch):
    """Has the stages of a run again give what another platform might: the model that these parameters make."""

    def change(old: str, new: str):
        path = ran.root / "params.yaml"
        text = path.read_text()
        real = reproduction.reproduce

        def reproduce(root, *, force):
            assert force
            path.write_text(text.replace(old, new))
            try:
                return real(root)  # only the stages that give something else
            finally:
                path.write_text(text)

        assert old in text
        monkeypatch.setattr(reproduction, "reproduce", reproduce)
        monkeypatch.chdir(ran.root)

    return change


def state(workspace: Workspace) -> tuple[bytes, str]:
    return (workspace.root / "dvc.lock").read_bytes(), read_bundle(workspace.bundle).digest


def test_a_candidate_of_another_platform_is_compared_by_its_predictions_and_kept(ran, elsewhere):
    before = state(ran)
    elsewhere("inverse_regularization: 1.0", "inverse_regularization: 1.0000001")
    assert "the same predictions, not the same bytes" in make_again(ran)
    assert state(ran) == before


def test_a_candidate_that_predicts_otherwise_is_not_reproduced_and_kept(ran, elsewhere):
    before = state(ran)
    elsewhere("inverse_regularization: 1.0", "inverse_regularization: 0.5")
    with pytest.raises(SlipwayError, match=r"it predicts otherwise: .* of 253 training rows"):
        make_again(ran)
    assert state(ran) == before


def test_other_rows_are_not_reproduced(ran, elsewhere):
    before = state(ran)
    elsewhere("test_share: 0.25", "test_share: 0.3")
    with pytest.raises(SlipwayError, match="gave other results of prepare"):
        make_again(ran)
    assert state(ran) == before
