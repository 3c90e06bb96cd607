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
    (re.compile(r"(^|\.)q_proj\."), ("num_attention_heads", "head_dim")),
    (re.compile(r"(^|\.)[kv]_proj\."), ("num_key_value_heads", "head_dim")),
)
# What a tensor's columns count.
_COLUMNS = ((re.compile(r"(^|\.)o_proj\."), ("num_attention_heads", "head_dim")),)
# Numbers that are sizes of matrices.
_SIZE = re.compile(r"(_size|_dim|_inner|_rank|_experts|^n_embd|^d_model|^d_ff)$")
_PLACE = re.compile(r"\.(\d+)\.")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


def wrong_sizes(config: Mapping[str, Any], tensors: Iterable[tuple[str, Shape, Shape]]) -> str:
    """Say which sizes of a config are not those of the weights; "" if none is found.

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
        fields = _counted(config, name, _COLUMNS if axis else _ROWS)
        if not fields:
            fields = [
                key
                for key, value in config.items()
                if value == ours and not isinstance(value, bool) and _SIZE.search(key)
            ]
        if fields:
            said = " and ".join(f"{field} {config[field]}" for field in fields)
            fitting = _factors(config, fields, theirs)
            found.append(f"config.json has {said}, where the weights have {theirs}{fitting}")
    return found


def _factors(config: Mapping[str, Any], fields: Sequence[str], stored: int) -> str:
    """Say what one of two numbers would be, whose product the weights have stored."""
    if len(fields) != 2 or fields[1] != "head_dim":
        return ""
    fitting = [
        f"{field} {stored // config[other]}"
        for field, other in zip(fields, fields[::-1], strict=True)
        if config[other] and stored % config[other] == 0
    ]
    return f": {' or '.join(fitting)} would fit" if fitting else ""


def _counted(
    config: Mapping[str, Any],
    name: str,
    rules: Sequence[tuple[re.Pattern[str], Sequence[str]]],
) -> list[str]:
    for pattern, fields in rules:
        if pattern.search(name):
            return [field for field in fields if isinstance(config.get(field), int)]
    return []
