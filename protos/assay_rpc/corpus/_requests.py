"""Requests of the corpus service's clients, from plain arguments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypedDict

from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import scoring_pb2, selection_pb2

_PRECISIONS = {
    "": common_pb2.PRECISION_UNSPECIFIED,
    "fp32": common_pb2.PRECISION_FP32,
    "bf16": common_pb2.PRECISION_BF16,
    "fp16": common_pb2.PRECISION_FP16,
}
DEFINITIONS = {
    "lm_eval": scoring_pb2.DEFINITION_PRESET_LM_EVAL,
    "pile_paper": scoring_pb2.DEFINITION_PRESET_PILE_PAPER,
    "huggingface_guide": scoring_pb2.DEFINITION_PRESET_HUGGINGFACE_GUIDE,
    "levanter": scoring_pb2.DEFINITION_PRESET_LEVANTER,
    "paloma": scoring_pb2.DEFINITION_PRESET_PALOMA,
}

DefinitionLike = (
    Literal["lm_eval", "pile_paper", "huggingface_guide", "levanter", "paloma"]
    | scoring_pb2.Definition
    | None
)


class ModelOptions(TypedDict, total=False):
    """How a model is scored: `engine` is "openvino-cpu" and the like."""

    definition: DefinitionLike
    engine: str
    precision: Literal["", "fp32", "bf16", "fp16"]


class CompareOptions(ModelOptions, total=False):
    """Which documents two models are compared on, and whether to score them again."""

    selection: selection_pb2.Selection
    fresh: bool


class ScoreOptions(CompareOptions, total=False):
    """As CompareOptions, with a name under which finished documents are kept."""

    checkpoint: str


def corpus_ref(name: str) -> selection_pb2.CorpusRef:
    """Name a corpus."""
    return selection_pb2.CorpusRef(name=name)


def score_request(
    corpus: str,
    model: str,
    *,
    selection: selection_pb2.Selection | None = None,
    checkpoint: str = "",
    fresh: bool = False,
    definition: DefinitionLike = None,
    engine: str = "",
    precision: str = "",
) -> scoring_pb2.ScoreBPBRequest:
    """Score `model` on `corpus`. Raises ValueError for an unknown definition or precision."""
    return scoring_pb2.ScoreBPBRequest(
        corpus=corpus_ref(corpus),
        selection=selection,
        model=common_pb2.ModelRef(name=model),
        definition=_definition(definition),
        checkpoint=checkpoint,
        fresh=fresh,
        compute=_compute(engine, precision),
    )


def compare_request(
    corpus: str,
    model: str,
    against: str,
    *,
    selection: selection_pb2.Selection | None = None,
    fresh: bool = False,
    definition: DefinitionLike = None,
    engine: str = "",
    precision: str = "",
) -> scoring_pb2.CompareBPBRequest:
    """Compare `model` with `against` on `corpus`. Raises as `score_request`."""
    return scoring_pb2.CompareBPBRequest(
        corpus=corpus_ref(corpus),
        selection=selection,
        model=common_pb2.ModelRef(name=model),
        against=common_pb2.ModelRef(name=against),
        definition=_definition(definition),
        fresh=fresh,
        compute=_compute(engine, precision),
    )


def texts_request(
    texts: Iterable[str | bytes],
    model: str,
    *,
    definition: DefinitionLike = None,
    engine: str = "",
    precision: str = "",
) -> scoring_pb2.ScoreTextsRequest:
    """Score `model` on texts. Raises as `score_request`."""
    return scoring_pb2.ScoreTextsRequest(
        texts=[
            scoring_pb2.ScoredText(
                text=text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
            )
            for text in texts
        ],
        model=common_pb2.ModelRef(name=model),
        definition=_definition(definition),
        compute=_compute(engine, precision),
    )


def _definition(given: DefinitionLike) -> scoring_pb2.Definition | None:
    if given is None or isinstance(given, scoring_pb2.Definition):
        return given
    if given not in DEFINITIONS:
        raise ValueError(f"definition: {given!r} is none of {', '.join(DEFINITIONS)}")
    return scoring_pb2.Definition(preset=DEFINITIONS[given])


def _compute(engine: str, precision: str) -> scoring_pb2.Compute | None:
    if precision not in _PRECISIONS:
        known = ", ".join(name for name in _PRECISIONS if name)
        raise ValueError(f"precision: {precision!r} is none of {known}")
    if not engine and not precision:
        return None
    return scoring_pb2.Compute(engine=engine, precision=_PRECISIONS[precision])
