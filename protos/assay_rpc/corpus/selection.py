"""The documents that a program selects, from keywords to the message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict, Unpack

from assay_rpc.corpus.v1 import selection_pb2

_PUBLISHED = {
    "weights": selection_pb2.MIXTURE_PRESET_PILE_WEIGHTS,
    "epochs": selection_pb2.MIXTURE_PRESET_PILE_EPOCHS,
}


_UNITS = {
    "bytes": selection_pb2.MIXTURE_UNIT_UNSPECIFIED,
    "documents": selection_pb2.MIXTURE_UNIT_DOCUMENTS,
    "tokens": selection_pb2.MIXTURE_UNIT_TOKENS,
}


class SelectionOptions(TypedDict, total=False):
    """What `select` takes, as the message `Selection` describes it; every key may be left out.

    Of `weights` (share by subset of the text's bytes, or of what `weight_unit` says), `passes`
    (passes over each subset an epoch) and `published` (the Pile's own weights or epochs) at most
    one makes a mixture.
    """

    splits: Sequence[str]
    subsets: Sequence[str]
    exclude_subsets: Sequence[str]
    uncopyrighted: bool
    max_documents: int
    max_bytes: int
    min_text_bytes: int
    max_text_bytes: int
    seed: int | None
    weights: Mapping[str, float] | None
    passes: Mapping[str, float] | None
    published: Literal["weights", "epochs"] | None
    epochs: int
    weight_unit: Literal["bytes", "documents", "tokens"]


def select(**options: Unpack[SelectionOptions]) -> selection_pb2.Selection:
    """Build the message. Raises ValueError for two mixtures or an unknown published one.

    What the corpus does not have is the server's to refuse.
    """
    unknown = sorted(set(options) - SelectionOptions.__annotations__.keys())
    if unknown:
        known = ", ".join(SelectionOptions.__annotations__)
        raise TypeError(f"a selection has no {unknown[0]!r}; it has {known}")
    return selection_pb2.Selection(
        splits=options.get("splits", ()),
        subsets=options.get("subsets", ()),
        exclude_subsets=options.get("exclude_subsets", ()),
        preset=(
            selection_pb2.SUBSET_PRESET_UNCOPYRIGHTED
            if options.get("uncopyrighted")
            else selection_pb2.SUBSET_PRESET_UNSPECIFIED
        ),
        max_documents=options.get("max_documents", 0),
        max_bytes=options.get("max_bytes", 0),
        min_text_bytes=options.get("min_text_bytes", 0),
        max_text_bytes=options.get("max_text_bytes", 0),
        seed=options.get("seed"),
        mixture=_mixture(options),
        epochs=options.get("epochs", 0),
        unit=_unit(options.get("weight_unit", "bytes")),
    )


def _unit(name: str) -> selection_pb2.MixtureUnit.ValueType:
    if name not in _UNITS:
        raise ValueError(f"weight_unit: {name!r} is none of {', '.join(_UNITS)}")
    return _UNITS[name]


def _mixture(options: SelectionOptions) -> selection_pb2.Mixture | None:
    weights, passes = options.get("weights"), options.get("passes")
    published = options.get("published")
    given = [
        name
        for name, value in (("weights", weights), ("passes", passes), ("published", published))
        if value is not None
    ]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} both make a mixture; give one of them")
    if weights is not None:
        return selection_pb2.Mixture(weights=selection_pb2.SubsetWeights(by_subset=weights))
    if passes is not None:
        return selection_pb2.Mixture(passes=selection_pb2.SubsetWeights(by_subset=passes))
    if published is None:
        return None
    if published not in _PUBLISHED:
        raise ValueError(f"published: {published!r} is neither 'weights' nor 'epochs'")
    return selection_pb2.Mixture(preset=_PUBLISHED[published])
