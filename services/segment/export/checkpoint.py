"""Loads a SegFormer checkpoint in Hugging Face's layout. Runs no code that the checkpoint brings.

A checkpoint is a directory, or the name "owner/model" of one on the hub, with config.json,
preprocessor_config.json and model.safetensors (or pytorch_model.bin, read with weights_only).
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, StrictDataclassError
from safetensors import SafetensorError
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from services.errors import InvalidArgument, NotFound, Unavailable
from services.segment.export.licenses import checkpoint_license, license_text
from services.segment.export.preprocessing import FILE as PREPROCESSOR_FILE
from services.segment.export.preprocessing import parse_preprocessing
from services.segment.manifest import MAX_CLASSES, ModelLicense, ModelPreprocessing

CONFIG_FILE = "config.json"
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
_CLASS = "SegformerForSemanticSegmentation"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint: the unmodified model, and what its files say about it.

    `name` is its name on the hub where that is known, else its directory's.
    """

    model: SegformerForSemanticSegmentation
    name: str
    classes: tuple[str, ...]
    preprocessing: ModelPreprocessing
    license: ModelLicense
    license_text: Path | None
    files: tuple[Path, ...]


def load_checkpoint(checkpoint: str | Path, progress: Callable[[str], None]) -> Checkpoint:
    """Load a checkpoint directory or hub name.

    Raises InvalidArgument saying what is missing or wrong, NotFound or Unavailable for a hub name
    that cannot be fetched.
    """
    directory = Path(checkpoint)
    hub_name = ""
    if not directory.is_dir():
        hub_name = _hub_name(checkpoint)
        progress(f"fetching {hub_name} from the hub")
        directory = _fetch(hub_name)
    config = _config(directory)
    weights = next(
        (directory / name for name in WEIGHT_FILES if (directory / name).is_file()), None
    )
    lacking = [name for name in (PREPROCESSOR_FILE,) if not (directory / name).is_file()]
    if weights is None:
        lacking.append(" or ".join(WEIGHT_FILES))
    if lacking or weights is None:
        raise InvalidArgument("checkpoint", f"{directory} lacks {' and '.join(lacking)}")
    preprocessing = parse_preprocessing(_object(directory / PREPROCESSOR_FILE))
    classes = _classes(config)
    progress(f"loading {weights.name}")
    model = _model(directory, weights, config)
    known_name = str(hub_name or config.get("_name_or_path") or directory.resolve().name)
    text = license_text(directory)
    return Checkpoint(
        model,
        known_name,
        classes,
        preprocessing,
        checkpoint_license(known_name, None if text is None else text.read_text(errors="replace")),
        text,
        (directory / CONFIG_FILE, directory / PREPROCESSOR_FILE, weights),
    )


def _hub_name(checkpoint: str | Path) -> str:
    name = str(checkpoint)
    if isinstance(checkpoint, Path) or _HUB_NAME.fullmatch(name) is None or name.startswith("."):
        raise InvalidArgument(
            "checkpoint",
            f"{name!r} is neither a directory nor a name on the hub such as "
            "'nvidia/segformer-b0-finetuned-ade-512-512'",
        )
    return name


def _fetch(name: str) -> Path:
    wanted = [CONFIG_FILE, PREPROCESSOR_FILE, *WEIGHT_FILES, "LICENSE*"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except HFValidationError as error:
        raise InvalidArgument("checkpoint", str(error)) from error
    except HfHubHTTPError as error:
        raise NotFound("model on the hub", name, ()) from error
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"{name} cannot be fetched from the hub ({error}); give a directory instead"
        ) from error


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise InvalidArgument("checkpoint", f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidArgument("checkpoint", f"{path} must hold an object")
    return value


def _config(directory: Path) -> dict[str, Any]:
    path = directory / CONFIG_FILE
    if not path.is_file():
        raise InvalidArgument("checkpoint", f"{directory} is not a model: it lacks {CONFIG_FILE}")
    config = _object(path)
    kind = config.get("model_type")
    if kind != "segformer":
        raise InvalidArgument("checkpoint", f"{path} is of a {kind!r} model; only 'segformer' is")
    architectures = config.get("architectures") or [_CLASS]
    if _CLASS not in architectures:
        raise InvalidArgument(
            "checkpoint", f"{path} is of {architectures}; {_CLASS} is needed (it has a decode head)"
        )
    if config.get("num_channels", 3) != 3:
        raise InvalidArgument("checkpoint", f"{path}: num_channels must be 3")
    return config


def _classes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the class names by id; without id2label, "class 0" and so on."""
    named = config.get("id2label")
    if named is None:
        count = config.get("num_labels", 2)
        if type(count) is not int or not 1 <= count <= MAX_CLASSES:
            raise InvalidArgument("checkpoint", f"num_labels {count!r} in {CONFIG_FILE}")
        return tuple(f"class {index}" for index in range(count))
    if (
        not isinstance(named, dict)
        or set(named) != {str(i) for i in range(len(named))}
        or not named
    ):
        raise InvalidArgument("checkpoint", f"id2label in {CONFIG_FILE} must name ids 0, 1, 2, ...")
    names = (str(named[str(index)]).strip() for index in range(len(named)))
    return tuple(name or f"class {index}" for index, name in enumerate(names))


def _model(
    directory: Path, weights: Path, config: dict[str, Any]
) -> SegformerForSemanticSegmentation:
    try:
        with _quiet():
            loaded: Any = SegformerForSemanticSegmentation.from_pretrained(
                directory,
                config=SegformerConfig.from_dict(config),
                attn_implementation="eager",
                ignore_mismatched_sizes=True,  # reported, and refused below by name
                dtype="float32",
                local_files_only=True,
                output_loading_info=True,
                trust_remote_code=False,
                use_safetensors=weights.suffix == ".safetensors",
                weights_only=True,
            )
    except (
        OSError, ValueError, TypeError, KeyError, RuntimeError, IndexError, EOFError,
        ZeroDivisionError, AttributeError, SafetensorError, StrictDataclassError,
        pickle.UnpicklingError,
    ) as error:  # fmt: skip
        reason = str(error).strip().split("\n")[0]
        raise InvalidArgument("checkpoint", f"{weights} cannot be loaded: {reason}") from error
    model, report = loaded
    for key in ("missing_keys", "mismatched_keys"):
        if report[key]:
            some = ", ".join(sorted(map(str, report[key]))[:3])
            raise InvalidArgument(
                "checkpoint", f"{weights}: {len(report[key])} {key.replace('_', ' ')}, as {some}"
            )
    checked: SegformerForSemanticSegmentation = model.eval()
    return checked


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's own progress bars and advice off the terminal."""
    log: Any = transformers.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()
