"""Whether a model reads only the tokens before a token when it predicts that token.

A model that reads further predicts tokens that it has seen, and its figure is meaningless. Masked
language models do so by design; a fault of a library has made other models do so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.corpus.bpb.models.compute import Precision
from services.corpus.bpb.models.language_model import LanguageModel
from services.corpus.bpb.scored_windows import Window
from services.errors import ModelUnusable, PreconditionFailed

# What arithmetic alone may move one token's log-likelihood by, in nats.
_ALLOWED = {Precision.FP32: 1e-4, Precision.BF16: 0.1, Precision.FP16: 0.1}
# Tokens of a window times parameters: two such windows take about a second on two processors. With
# large models 32 tokens, which are enough to see ahead in, take as long as reading their weights.
_WORK = 5e9
_SHORTEST, _LONGEST = 32, 1024


@dataclass(frozen=True)
class CausalityTrial:
    """Two windows that begin alike: targets are those tokens that both have before the change."""

    first: Window
    second: Window


def causality_trial(
    tokens: Sequence[int], prefix: int | None, max_length: int, parameters: int
) -> CausalityTrial:
    """Cut two windows from a text's tokens that differ in their second half, at every place."""
    wanted = int(min(_LONGEST, max(_SHORTEST, _WORK / max(1, parameters))))
    # Half of a window: some kinds (RoBERTa) fail on the longest that their config.json allows.
    length = min(wanted, (max_length + 1) // 2, len(tokens))
    before = tokens[:1] if prefix is None else [prefix]
    inputs = [*before, *tokens[: length - 1]]
    half = (length + 1) // 2
    spare = next((token for token in tokens if token != tokens[0]), tokens[0])
    changed = [tokens[0] if token != tokens[0] else spare for token in inputs[half:]]
    # Every position is scored: models score the last ones of a window only.
    targets = tokens[:length]
    return CausalityTrial(Window(inputs, targets), Window([*inputs[:half], *changed], targets))


def require_causal(
    what: str,
    precision: Precision,
    model: LanguageModel,
    trial: CausalityTrial,
    *,
    hint: str = "",
    refusal: type[PreconditionFailed] = ModelUnusable,
) -> float:
    """Compare the likelihoods before the change, and return the mean of the first window's.

    Raises `refusal` if they change, with later tokens or at random, or are not finite
    numbers.
    """
    whole, changed = (
        model.log_likelihoods([window])[0].astype(np.float64)
        for window in (trial.first, trial.second)
    )
    kept = (len(trial.first.inputs) + 1) // 2
    first, second = whole[:kept], changed[:kept]
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise refusal(f"{what} gives likelihoods that are not finite numbers")
    moved = float(np.abs(first - second).max(initial=0.0))
    if moved > _ALLOWED[precision]:
        again = model.log_likelihoods([trial.first])[0].astype(np.float64)[:kept]
        if not float(np.abs(first - again).max(initial=0.0)) <= _ALLOWED[precision]:
            raise refusal(
                f"{what} gives other likelihoods each time that it reads the same window, so that "
                "no figure of it can be repeated: it draws random numbers"
            )
        raise refusal(
            f"{what} is not causal: a token's log-likelihood moves by {moved:.3g} nats when only "
            f"tokens after it change, so it sees what it is to predict{hint}"
        )
    return float(whole.mean())
