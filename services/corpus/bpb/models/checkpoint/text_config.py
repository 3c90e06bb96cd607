"""What config.json says of the language model: its kind, its window and its vocabulary.

A value under the name that most models use is read from the file. Otherwise transformers gives it,
which knows the names and defaults of every kind, so a folder is read as lm-evaluation-harness reads
it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.corpus.bpb.models.checkpoint.folder_kinds import NotAModelError
from services.corpus.bpb.models.checkpoint.json_files import (
    LIST,
    OBJECT,
    TEXT,
    json_object,
    require_all_of,
)

# Where the longest input is, in the order that lm-evaluation-harness looks. In a file the second
# is as good as the first: kinds with both read one for the other.
_LENGTHS = ("n_positions", "max_position_embeddings", "n_ctx")
_SPELLED_OUT = ("n_positions", "max_position_embeddings")
# Tables of positions that lm-evaluation-harness does not know of, and that a window must fit in.
_LIMITS = ("max_seq_len",)
_DEFAULT_LENGTH = 2048
# Tokenizers without a limit say 10^30.
_NO_LIMIT = 10**15


_ENTRIES = {"architectures": LIST, "text_config": OBJECT, "quantization_config": OBJECT}


def read_config(directory: Path) -> dict[str, Any]:
    """Read config.json. Raises NotAModelError, naming what in it is of another kind than it is."""
    config = json_object(directory / "config.json", _ENTRIES)
    require_all_of(config, {"model_type": TEXT}, "config.json")
    return config


@dataclass(frozen=True)
class TextConfig:
    """The kind of model, its longest input in tokens, and how many tokens have an embedding.

    `max_length_assumed` says that the config states no longest input, as of models without a table
    of positions: it is lm-evaluation-harness's then, the tokenizer's limit or 2,048.
    """

    architecture: str
    max_length: int
    max_length_assumed: bool
    vocabulary: int


def read_text_config(
    directory: Path, config: Mapping[str, Any], tokenizer_config: Mapping[str, Any]
) -> TextConfig:
    """Read what config.json says, with transformers where it leaves something out.

    Raises NotAModelError for a kind that transformers does not know, and for sizes that are none.
    """
    text: Mapping[str, Any] = config.get("text_config") or config
    get: Callable[[str], Any] = text.get
    if text.get("vocab_size") is None or not any(text.get(key) for key in _SPELLED_OUT):
        known = _ask_transformers(directory, config)
        if known is not None:
            get = lambda key: getattr(known, key, None)  # noqa: E731  reads either
    length, assumed = _max_length(get, tokenizer_config)
    vocabulary = get("vocab_size")
    for what, value, remedy in (
        ("window", length, "max_position_embeddings to the longest input that it was trained on"),
        ("vocabulary", vocabulary, "vocab_size to the number of rows of its embedding"),
    ):
        if not isinstance(value, int) or value < 1:
            raise NotAModelError(
                f"has a {what} of {value!r} tokens, by its config.json; set {remedy}"
            )
    return TextConfig(str(config["model_type"]), length, assumed, int(vocabulary))


def _max_length(get: Callable[[str], Any], tokenizer_config: Mapping[str, Any]) -> tuple[Any, bool]:
    """Return the longest input, and whether it is assumed."""
    for key in _LENGTHS:
        if (value := get(key)) is not None:
            return value, False
    length = tokenizer_config.get("model_max_length")
    if length is None or length >= _NO_LIMIT:
        length = _DEFAULT_LENGTH
    limits = [value for key in _LIMITS if isinstance(value := get(key), int)]
    least = min([int(length), *limits])
    return least, least not in limits


def _ask_transformers(directory: Path, config: Mapping[str, Any]) -> Any:
    """Return the language model's config object, None where transformers is not installed."""
    try:
        # It is in an extra, and imports torch.
        from transformers import AutoConfig  # noqa: PLC0415
    except ImportError:
        return None
    try:
        found: Any = AutoConfig.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # the library raises nothing more specific
        if config.get("auto_map"):
            raise NotAModelError(
                f"needs its own code (auto_map in config.json), which is never run: "
                f"transformers does not know the kind {config.get('model_type')!r}"
            ) from error
        problem = str(error).strip().partition("\n")[0]
        raise NotAModelError(
            f"has a config.json that transformers cannot read: {problem}"
        ) from error
    return found.get_text_config(decoder=True)
