"""Training is repeatable, and what is exported is what was trained."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from services.segment.reference.card import Training  # noqa: E402
from services.segment.reference.scenes.labels import DRAWN  # noqa: E402
from services.segment.reference.train import main, train, widen  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture
def one_thread():  # type: ignore[no-untyped-def]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("one_thread")
def test_training_is_repeatable_and_widening_changes_nothing() -> None:
    training = Training(scenes=2, steps=2, batch=2)
    model, again = train(training).state_dict(), train(training)
    assert all(torch.equal(value, model[key]) for key, value in again.state_dict().items())
    wide = widen(again, 150)
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        narrow, full = again(pixels).logits, wide(pixels).logits
    assert torch.equal(full[:, list(DRAWN)], narrow)
    others = [index for index in range(150) if index not in DRAWN]
    assert (full[:, others] == -100).all()


def test_a_directory_that_is_not_empty_is_refused_first(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "mine").write_text("kept")
    assert main(["--out", str(tmp_path)]) == 1
    assert "is not empty" in capsys.readouterr().err
