"""A Hugging Face directory's weights as a torch module.

Code in the directory is never run and pickles are never loaded.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from services.corpus.bpb.models.checkpoint.json_files import json_object
from services.corpus.bpb.models.checkpoint.model_directory import HuggingFaceModel
from services.corpus.bpb.models.checkpoint.quantisation import cannot_read, quantisation
from services.corpus.bpb.models.checkpoint.tensors import (
    require_all,
    require_finite,
    require_real_numbers,
    require_tied,
)
from services.corpus.bpb.models.checkpoint.weight_files import weight_files
from services.errors import ModelUnusable

# What Python raises for a value that a library did not expect: its text alone says nothing.
_NO_SENTENCE = (ArithmeticError, AttributeError, LookupError, TypeError)


def load_module(
    name: str, model: HuggingFaceModel, dtype: torch.dtype
) -> tuple[Any, tuple[str, ...]]:
    """Load the weights as a torch module on the CPU, ready to be evaluated.

    Return it with reasons to doubt its figures.

    Raises ModelUnusable when transformers can't load them, they are not all of a causal language
    model's, any is not a finite number, or a tied head is stored that is not the embedding.
    """
    config = json_object(model.directory / "config.json")
    method = quantisation(config)
    try:
        with _quietly():
            read: Any = AutoModelForCausalLM.from_pretrained(
                model.directory,
                dtype=dtype,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # they are named below
                output_loading_info=True,
            )
    except Exception as error:  # the library raises nothing more specific
        first, _, rest = str(error).strip().partition("\n")
        # What is wrong with an entry of config.json stands below a line that says so.
        reason = f"{first} {rest.strip().partition(chr(10))[0]}" if first.endswith(":") else first
        problem = f"transformers cannot load it: {reason}"
        if isinstance(error, _NO_SENTENCE):
            problem = (
                "transformers cannot make a model of what its config.json says "
                f"({type(error).__name__}: {reason})"
            )
        if method:
            problem = cannot_read(method, error)
        elif config.get("auto_map"):
            problem = (
                "it needs its own code (auto_map in config.json), which is never run, and "
                f"without it transformers cannot load the folder: {reason}"
            )
        raise ModelUnusable(f"{name}: {problem}") from error
    loaded, info = read
    doubts = require_all(name, loaded, info)
    weights = weight_files(model.directory)
    if not method:
        require_real_numbers(name, loaded, weights)
    require_finite(name, loaded)
    require_tied(name, loaded, weights)
    _leave_files(loaded, weights)
    return loaded.eval(), doubts


def _leave_files(module: Any, weights: Sequence[Path]) -> None:
    """Copy the tensors that are parts of the files, mapped into memory.

    Otherwise they would change when the file is overwritten, and a shorter file would end the
    process.
    """
    own = {os.path.realpath(file) for file in weights}
    mapped = []
    for line in Path("/proc/self/maps").read_text("utf-8", "surrogateescape").splitlines():
        span, *_, path = line.split(maxsplit=5)
        if path in own:
            first, _, end = span.partition("-")
            mapped.append((int(first, 16), int(end, 16)))
    copies: dict[tuple[object, ...], torch.Tensor] = {}
    for tensor in itertools.chain(module.parameters(), module.buffers()):
        place = tensor.data_ptr()
        if any(first <= place < end for first, end in mapped):
            key = (place, tensor.dtype, tensor.shape, tensor.stride())
            if key not in copies:
                copies[key] = tensor.data.clone()
            tensor.data = copies[key]


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep transformers from reporting to the log what is checked, and what is raised."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
