"""The documents that a program selects, from keywords to the message."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
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
    """Build the message.

    Raises ValueError for two mixtures, an unknown published one and a number out of range, and
    TypeError for an unknown keyword and a value of another type; both name the keyword. The server
    refuses what the corpus does not have.
    """
    unknown = sorted(set(options) - SelectionOptions.__annotations__.keys())
    if unknown:
        known = ", ".join(SelectionOptions.__annotations__)
        raise TypeError(f"a selection has no {unknown[0]!r}; it has {known}")
    return selection_pb2.Selection(
        splits=_names("splits", options.get("splits")),
        subsets=_names("subsets", options.get("subsets")),
        exclude_subsets=_names("exclude_subsets", options.get("exclude_subsets")),
        preset=(
            selection_pb2.SUBSET_PRESET_UNCOPYRIGHTED
            if options.get("uncopyrighted")
            else selection_pb2.SUBSET_PRESET_UNSPECIFIED
        ),
        max_documents=whole("max_documents", options.get("max_documents")),
        max_bytes=whole("max_bytes", options.get("max_bytes")),
        min_text_bytes=whole("min_text_bytes", options.get("min_text_bytes")),
        max_text_bytes=whole("max_text_bytes", options.get("max_text_bytes")),
        seed=None if options.get("seed") is None else whole("seed", options.get("seed")),
        mixture=_mixture(options),
        epochs=whole("epochs", options.get("epochs"), bits=32),
        unit=_unit(options.get("weight_unit", "bytes")),
    )


def whole(name: str, value: object, *, bits: int = 64) -> int:
    """Return a whole number that fits the contract; None is 0.

    Raises TypeError for what is none, and ValueError for one out of range, naming the keyword.
    """
    if value is None:
        return 0
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # that is what is asked
    except TypeError:
        raise TypeError(f"{name}: {value!r} is not a whole number") from None
    if not 0 <= number < 1 << bits:
        raise ValueError(f"{name}: {number} is not between 0 and 2**{bits} - 1")
    return number


def weights_of(name: str, value: object) -> dict[str, float]:
    """Return numbers by name. Raises TypeError, naming the keyword, for what is none."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: {value!r} does not map names to numbers")
    for key, number in value.items():
        if not isinstance(key, str):
            raise TypeError(f"{name}: {key!r} is not a name")
        try:
            float(number)
        except (TypeError, ValueError):
            raise TypeError(f"{name}[{key!r}]: {number!r} is not a number") from None
        if isinstance(number, str):
            raise TypeError(f"{name}[{key!r}]: {number!r} is not a number")
    return {key: float(number) for key, number in value.items()}


def _names(name: str, value: object) -> Sequence[str]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{name}: {value!r} is not a list of names")
    names = list(value)
    for one in names:
        if not isinstance(one, str):
            raise TypeError(f"{name}: {one!r} is not a name")
    return names


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
        return selection_pb2.Mixture(
            weights=selection_pb2.SubsetWeights(by_subset=weights_of("weights", weights))
        )
    if passes is not None:
        return selection_pb2.Mixture(
            passes=selection_pb2.SubsetWeights(by_subset=weights_of("passes", passes))
        )
    if published is None:
        return None
    if published not in _PUBLISHED:
        raise ValueError(f"published: {published!r} is neither 'weights' nor 'epochs'")
    return selection_pb2.Mixture(preset=_PUBLISHED[published])
