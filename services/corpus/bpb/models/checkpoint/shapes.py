"""Which numbers of a config.json do not fit the shapes of the weights beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

Shape = Sequence[int]
# What a tensor's rows count, by its name, where that is sure.
_ROWS = (
    (
        re.compile(r"(^|\.)(embed_tokens|wte|word_embeddings|embed_in|lm_head|embed_out)\.weight$"),
        ("vocab_size",),
    ),
    (
        re.compile(r"(^|\.)(wpe|embed_positions|position_embeddings)\.weight$"),
        ("max_position_embeddings", "n_positions"),
    ),
    (re.compile(r"(^|\.)[kv]_proj\."), ("num_key_value_heads", "head_dim")),
)
# Numbers that are sizes of matrices.
_SIZE = re.compile(r"(_size|_dim|_inner|_rank|_experts|^n_embd|^d_model|^d_ff)$")
_PLACE = re.compile(r"\.(\d+)\.")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


def wrong_sizes(config: Mapping[str, Any], tensors: Iterable[tuple[str, Shape, Shape]]) -> str:
    """Say which sizes of a config are not those of the weights; "" where none is found.

    `tensors` are names with their shapes, as stored and as the config has them.
    """
    sentences = dict.fromkeys(
        chain.from_iterable(_differing(config, *one) for one in sorted(tensors))
    )
    return " and ".join(sentences)


def wrong_layers(config: Mapping[str, Any], used: Iterable[str], odd: Iterable[str]) -> str:
    """Say that a config has more or fewer layers than the weights; "" where that is not it.

    `used` are tensors that the folder and the model both have, `odd` are missing or not used.
    """
    field = next((name for name in _LAYERS if isinstance(config.get(name), int)), "")
    known = {number for name in used if (number := _layer(name)) is not None}
    others = {number for name in odd if (number := _layer(name)) is not None}
    if not field or not known or not others or min(others) <= max(known):
        return ""
    stored = max(known) + 1 if config[field] > max(known) + 1 else max(others) + 1
    return f"config.json has {field} {config[field]}, and the weights have {stored} layers"


def _layer(name: str) -> int | None:
    found = _PLACE.search(name)
    return int(found[1]) if found else None


def _differing(config: Mapping[str, Any], name: str, stored: Shape, wanted: Shape) -> list[str]:
    if len(stored) != len(wanted):
        return []
    found = []
    for axis, (theirs, ours) in enumerate(zip(stored, wanted, strict=True)):
        if theirs == ours:
            continue
        fields = [] if axis else _of_rows(config, name)
        if not fields:
            fields = [
                key
                for key, value in config.items()
                if value == ours and not isinstance(value, bool) and _SIZE.search(key)
            ]
        if fields:
            said = " and ".join(f"{field} {config[field]}" for field in fields)
            found.append(f"config.json has {said}, where the weights have {theirs}")
    return found


def _of_rows(config: Mapping[str, Any], name: str) -> list[str]:
    for pattern, fields in _ROWS:
        if pattern.search(name):
            return [field for field in fields if isinstance(config.get(field), int)]
    return []
