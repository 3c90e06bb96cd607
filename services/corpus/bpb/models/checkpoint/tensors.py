"""Whether the weights that were loaded are all of the model's, and only its own.

transformers fills what a folder lacks with random numbers and drops what it does not know, and says
so in its log only. A figure of such a model would be of no model at all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from services.corpus.bpb.models.checkpoint.shapes import wrong_layers, wrong_sizes
from services.corpus.bpb.models.checkpoint.weight_files import tensor_types
from services.errors import ModelUnusable

_SHOWN = 5
_ROWS = 4096
# Tables and masks that older versions stored, and that their classes make separately.
_MADE_BY_CLASS = re.compile(
    r"(rotary_emb\.inv_freq|attn\.(bias|masked_bias)|attention\.(bias|masked_bias)|causal_mask"
    r"|position_ids|token_type_ids|_extra_state|num_batches_tracked)$"
)
# Other parts than the language model, which do not change its likelihoods.
_BESIDE = re.compile(
    r"(^|\.)(vision|visual|image|img|video|audio|speech|multi_modal|multimodal|mm_|mtp|nextn|v_head"
    r"|value_head|talker|token2wav|aligner|projector)",
    re.IGNORECASE,
)
# What tells the folder's kind, by what begins or lies in a tensor's name.
_OTHER_KINDS = (
    (re.compile(r"lora_|(^|\.)(adapter|prompt_encoder)"), "an adapter that is not merged"),
    (
        re.compile(r"(^|\.)(score|classifier|qa_outputs|reward_head|regression_head|rm_head)\."),
        "a classifier or reward model",
    ),
    (re.compile(r"(^|\.)(encoder)\."), "a model with an encoder"),
    (re.compile(r"(qweight|qzeros|weight_scale|scales|absmax|SCB)$"), "quantised weights"),
    (re.compile(r"(^|\.)cls\.|(^|\.)lm_head\.dense"), "a masked language model"),
)


def require_all(model: str, module: Any, info: Mapping[str, Any]) -> tuple[str, ...]:
    """Compare what a folder held with what its model needs, by transformers' loading info.

    Raises ModelUnusable, naming tensors, when any is missing or of another shape, or when the
    folder holds others that show that it is another kind of model, or more of this one than its
    config.json describes. Others give a reason to doubt the figures, which is returned.
    """
    kind = type(module).__name__
    config = module.config.get_text_config().to_dict()
    odd = {*info["missing_keys"], *info["unexpected_keys"]}
    layers = wrong_layers(config, (name for name in module.state_dict() if name not in odd), odd)
    if missing := sorted(filter(lambda name: _is_needed(module, name), info["missing_keys"])):
        known = _kind_of(info["unexpected_keys"])
        prefix = _prefix(missing, set(info["unexpected_keys"]))
        if known:
            remedy = f"they are those of {known} (it has {_some(sorted(info['unexpected_keys']))})"
        elif prefix:
            remedy = f"it has them as {prefix}{missing[0]} and so on: take {prefix!r} off the names"
        else:
            remedy = layers or "get the whole checkpoint"
        raise ModelUnusable(
            f"{model}: its weights lack {_some(missing)} of a {kind}, which would be random "
            f"numbers; {remedy}"
        )
    if mismatched := sorted(info["mismatched_keys"]):
        name, stored, wanted = mismatched[0]
        sizes = wrong_sizes(config, mismatched)
        raise ModelUnusable(
            f"{model}: {_some([one[0] for one in mismatched])} of its weights have another shape "
            f"than its config.json says: {name} is {_shape(stored)}, not {_shape(wanted)}"
            + (f" ({sizes})" if sizes else "")
            + "; get the config.json and the weights of one model"
        )
    unexpected = sorted(n for n in info["unexpected_keys"] if not _MADE_BY_CLASS.search(n))
    composite = getattr(module.config, "text_config", None) is not None
    foreign = [name for name in unexpected if _is_foreign(module, name, composite=composite)]
    if foreign:
        known = _kind_of(foreign)
        raise ModelUnusable(
            f"{model}: its weights hold {_some(foreign)}, which a {kind} of its config.json does "
            "not use: "
            + (f"they are those of {known}" if known else layers or "they belong to another model")
            + "; get the config.json and the weights of one model"
        )
    if not unexpected:
        return ()
    return (f"its weights hold tensors that a {kind} does not use: {_some(unexpected)}",)


def require_real_numbers(model: str, module: Any, weights: tuple[Path, ...]) -> None:
    """Raise ModelUnusable, naming tensors, when weights are stored as whole numbers.

    They are quantised, and their scales are unknown: used unchanged, they would be another model's.
    """
    wanted = {_below_base(module, name) for name, _ in module.named_parameters()}
    whole = sorted(
        name
        for name, kind in tensor_types(weights).items()
        if not kind.startswith(("F", "BF")) and _below_base(module, name) in wanted
    )
    if whole:
        raise ModelUnusable(
            f"{model}: {_some(whole)} of its weights are whole numbers, so they are quantised, and "
            "config.json does not say how (quantization_config); get the whole checkpoint, or "
            "score the model that was quantised"
        )


def _below_base(module: Any, name: str) -> str:
    """Return a tensor's name without the base model's, which some folders leave out."""
    return name.removeprefix(f"{getattr(module, 'base_model_prefix', '')}.")


def require_finite(model: str, module: Any) -> None:
    """Raise ModelUnusable, naming tensors, when a weight is NaN or infinite.

    What training left in a buffer is a weight too, as the corrections of a mixture of experts.
    """
    stored = module.state_dict().keys()
    buffers = (
        (name, value)
        for name, value in module.named_buffers()
        if name in stored and not _MADE_BY_CLASS.search(name)
    )
    with torch.inference_mode():
        # One number for each is enough, and quick; a sum that overflows is looked at again.
        bad = [
            name
            for name, value in chain(module.named_parameters(), buffers)
            if value.is_floating_point()
            and not torch.isfinite(value.sum())
            and not torch.isfinite(value).all()
        ]
    if bad:
        raise ModelUnusable(
            f"{model}: its weights are not finite numbers in {_some(bad)}; get another copy"
        )


def require_tied(model: str, module: Any, weights: Iterable[Path]) -> None:
    """Compare a stored head with the stored embedding that the config says it is.

    Raises ModelUnusable, naming both, when they differ: which of the two a program takes is its
    own choice, so that a figure would be of one of two models.
    """
    if not module.config.get_text_config().tie_word_embeddings:
        return
    embedding = _ending(module, module.get_input_embeddings())
    head = _ending(module, module.get_output_embeddings())
    if not embedding or not head:
        return
    with ExitStack() as files:
        stored: dict[str, Any] = {}
        for path in weights:
            opened = files.enter_context(safe_open(path, "pt"))
            stored |= dict.fromkeys(opened.keys(), opened)
        heads = [name for name in stored if _ends(name, head)]
        embeddings = [name for name in stored if _ends(name, embedding)]
        for one in heads:
            matrix = stored[one].get_slice(one)
            if embeddings and not any(
                _equal(matrix, stored[other].get_slice(other)) for other in embeddings
            ):
                raise ModelUnusable(
                    f"{model}: config.json says tie_word_embeddings, and its weights hold {one} "
                    f"that differs from {embeddings[0]}; if the head was trained separately, set "
                    '"tie_word_embeddings" to false, otherwise get the weights that belong to this '
                    "config.json"
                )


def _ending(module: Any, matrix: Any) -> str:
    """Return the last part of the name of a module's weight, which prefixes leave as it is."""
    found = (name for name, one in module.named_modules() if one is matrix)
    name = next(found, "") if matrix is not None else ""
    return f"{name.rpartition('.')[2]}.weight" if name else ""


def _ends(name: str, ending: str) -> bool:
    return name == ending or name.endswith(f".{ending}")


def _equal(one: Any, other: Any) -> bool:
    """Whether two stored matrices are equal; reads some rows at a time."""
    shape = one.get_shape()
    if shape != other.get_shape():
        return False
    return all(
        torch.equal(one[row : row + _ROWS].float(), other[row : row + _ROWS].float())
        for row in range(0, shape[0], _ROWS)
    )


def _is_needed(module: Any, name: str) -> bool:
    """Whether a tensor that is missing had to come from the folder.

    Buffers are made by their class, but for statistics and corrections that training left there.
    """
    buffer = dict(module.named_buffers()).get(name)
    if buffer is None:
        return True
    return bool(buffer.is_floating_point()) and not _MADE_BY_CLASS.search(name)


def _is_foreign(module: Any, name: str, *, composite: bool) -> bool:
    if any(pattern.search(name) for pattern, _ in _OTHER_KINDS[:2]):
        return True
    if _BESIDE.search(name):
        return False
    place = _place(module, name)
    if place.isdecimal() and getattr(module.config, "num_nextn_predict_layers", None):
        return False  # layers that predict further tokens stand behind the others
    # Of a model of text and pictures, parts have names of every kind.
    return bool(place) or not composite


def _place(module: Any, name: str) -> str:
    """Return how the name goes on below the base model's own parts; "" outside of them."""
    base = getattr(module, "base_model_prefix", "")
    parts = name.removeprefix(f"{base}.").split(".")
    root = getattr(module, base, module) if base else module
    for start in (root, module):
        found, depth = start, 0
        while depth < len(parts) and (inner := getattr(found, parts[depth], None)) is not None:
            found, depth = inner, depth + 1
        if depth:
            return parts[min(depth, len(parts) - 1)]
    return ""


def _kind_of(names: Iterable[str]) -> str:
    for pattern, what in _OTHER_KINDS:
        if any(pattern.search(name) for name in names):
            return what
    return ""


def _prefix(missing: Sequence[str], unexpected: Collection[str]) -> str:
    """Return what stands before every missing name among the unexpected ones; "" if nothing."""
    ends = (name.removesuffix(missing[0]) for name in unexpected if name.endswith(missing[0]))
    return next(
        (one for one in ends if all(f"{one}{name}" in unexpected for name in missing)),
        "",
    )


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
