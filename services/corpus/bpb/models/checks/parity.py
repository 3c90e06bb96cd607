"""Compares an engine with the reference before its figures are trusted."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import numpy as np

from services.corpus.bpb.models.compute import Precision, Shift
from services.corpus.bpb.models.language_model import LanguageModel
from services.corpus.bpb.scored_windows import Window
from services.errors import EngineUnavailable

# English prose and Python. The text is frozen: another text would be another gate.
_TEXT = "parity_text.txt"
# Short, odd, more than a block, and as long as most windows are.
_LENGTHS = (1, 7, 130, 1024)
# Nats: of the mean of all tokens, which moves a figure by as much, and of the worst one.
_ALLOWED = {
    Precision.FP32: (1e-5, 1e-3),
    Precision.BF16: (2e-2, 2.0),
    Precision.FP16: (2e-2, 2.0),
}


def trial_text() -> str:
    """Return the text that every model is tried on."""
    return files(__package__).joinpath(_TEXT).read_text(encoding="utf-8")


def trial_windows(model: LanguageModel, max_length: int) -> list[Window]:
    """Return the windows that an engine is compared on, at most `max_length` long.

    In the longest, only the last tenth is scored, as in a document's last window.
    """
    tokens = model.encode(trial_text())
    prefix = tokens[0] if model.prefix_token is None else model.prefix_token
    windows = []
    for wanted in _LENGTHS:
        length = min(wanted, max_length, len(tokens))
        windows.append(Window([prefix, *tokens[: length - 1]], tokens[:length]))
    longest = windows[-1]
    windows[-1] = Window(longest.inputs, longest.targets[-max(1, len(longest.targets) // 10) :])
    windows.append(longest)
    return windows


def require_parity(
    engine: str,
    precision: Precision,
    model: LanguageModel,
    reference: LanguageModel,
    windows: Sequence[Window],
) -> Shift:
    """Measure how far an engine is from the reference, which is torch or ONNX Runtime in float32.

    Raises EngineUnavailable, with what both gave, when that is further than the precision allows.
    """
    ours = np.concatenate([model.log_likelihoods([window])[0] for window in windows])
    theirs = np.concatenate([reference.log_likelihoods([window])[0] for window in windows])
    difference = ours.astype(np.float64) - theirs
    shift = Shift(len(ours), float(difference.mean()), float(np.abs(difference).max()))
    mean, largest = _ALLOWED[precision]
    if not (abs(shift.mean) <= mean and shift.largest <= largest):
        raise EngineUnavailable(
            f"{engine} in {precision} gives {-ours.mean(dtype=np.float64):.6f} nats a token where "
            f"the reference in fp32 gives {-theirs.mean(dtype=np.float64):.6f}, and up to "
            f"{shift.largest:.3g} more or less for one token ({mean:g} and {largest:g} are "
            "allowed); use another engine"
        )
    return shift
