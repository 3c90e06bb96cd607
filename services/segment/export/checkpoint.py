"""Loads a SegFormer checkpoint. Runs no code that comes with the checkpoint.

A checkpoint is a directory, or a name "owner/model" on the hub, with config.json,
preprocessor_config.json and weights that `weights` reads; or a file of weights alone, whose
configuration is inferred from them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, StrictDataclassError
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from services.common.counts import plural
from services.errors import InvalidArgument, NotFound, Unavailable
from services.segment.export.given import Given
from services.segment.export.inferred import inferred_config
from services.segment.export.licenses import checkpoint_license, license_text, stated_license
from services.segment.export.mmsegmentation import with_convolutional_head
from services.segment.export.preprocessing import FILE as PREPROCESSOR_FILE
from services.segment.export.preprocessing import parse_preprocessing
from services.segment.export.weights import (
    PICKLES,
    WEIGHT_FILES,
    Weights,
    find_weights,
    read_weights,
)
from services.segment.manifest import (
    MANIFEST_FILE,
    MAX_CLASSES,
    MODEL_FILE,
    ModelLicense,
    ModelPreprocessing,
)

CONFIG_FILE = "config.json"
_CLASS = "SegformerForSemanticSegmentation"
# Batch norms' training counters, which TensorFlow lacks.
_COUNTER = "num_batches_tracked"
_NOTHING = Given()
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint: the unmodified model, and what its files say about it.

    `name` is its name on the hub if known, else its directory's.
    """

    model: SegformerForSemanticSegmentation
    name: str
    classes: tuple[str, ...]
    preprocessing: ModelPreprocessing
    license: ModelLicense
    license_text: Path | None
    files: tuple[Path, ...]


def load_checkpoint(
    checkpoint: str | Path, progress: Callable[[str], None], given: Given = _NOTHING
) -> Checkpoint:
    """Load a checkpoint directory, a file of weights, or a hub name; `given` overrides its files.

    Raises InvalidArgument saying what is missing or wrong, NotFound or Unavailable for a hub name
    that cannot be fetched.
    """
    directory = path = Path(checkpoint)
    hub_name = ""
    if path.is_file():
        directory = path.parent
    elif not path.is_dir():
        hub_name = _hub_name(checkpoint)
        progress(f"fetching {hub_name} from the hub")
        directory = path = _fetch(hub_name)
    config = _config(directory) if (directory / CONFIG_FILE).is_file() else None
    weights_file = path if path.is_file() else find_weights(directory)
    if config is None and (weights_file is None or weights_file.suffix not in PICKLES):
        raise InvalidArgument("checkpoint", _no_checkpoint(path, directory))
    lacking = [" or ".join(WEIGHT_FILES)] if weights_file is None else []
    preprocessor = given.preprocessor or directory / PREPROCESSOR_FILE
    if not preprocessor.is_file() and given.size is None:
        lacking.append(
            f"{preprocessor.name}: give the model's input with --size WxH (its mean and deviation "
            f"are ImageNet's then), or such a file with --preprocessor FILE"
        )
    if lacking or weights_file is None:
        raise InvalidArgument("checkpoint", f"{directory} lacks {' and '.join(lacking)}")
    stated = _object(preprocessor) if preprocessor.is_file() else {}
    preprocessing = parse_preprocessing(stated, given.size, given.resampler)
    progress(f"loading {weights_file.name}")
    weights = read_weights(weights_file)
    if config is None:
        config = inferred_config(weights.state, str(weights_file))
    classes = _classes(config, weights.classes)
    _check_sizes(weights_file, weights.state, config, len(classes))
    model = _model(weights_file, weights, config)
    own = weights_file.stem if path.is_file() else directory.resolve().name
    known_name = str(hub_name or config.get("_name_or_path") or own)
    text = license_text(directory)
    terms = checkpoint_license(
        known_name, None if text is None else text.read_text(errors="replace")
    )
    if given.license is not None:
        terms = stated_license(given.license, terms)
    files = (directory / CONFIG_FILE, preprocessor, *weights.files)
    return Checkpoint(
        model,
        known_name,
        classes,
        preprocessing,
        terms,
        text,
        tuple(file for file in files if file.is_file()),
    )


def _no_checkpoint(path: Path, directory: Path) -> str:
    """Return why the given path is neither a torch nor a TensorFlow checkpoint."""
    if path.suffix == ".onnx":
        return f"{path} is an ONNX file: `assay import-onnx` takes it"
    if (path / MODEL_FILE).is_file() and (path / MANIFEST_FILE).is_file():
        return f"{path} is a model folder already: `assay segment --model {path}` takes it"
    return f"{directory} is not a model: it lacks {CONFIG_FILE}"


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
    wanted = [CONFIG_FILE, PREPROCESSOR_FILE, *WEIGHT_FILES, "*-of-*", "LICENSE*"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except HFValidationError as error:
        raise InvalidArgument("checkpoint", str(error)) from error
    except HfHubHTTPError as error:
        raise NotFound("model on the hub", name, ()) from error
    except (OSError, ValueError) as error:
        (first, *_) = str(error).splitlines() or [type(error).__name__]
        command = f"hf download {name} --local-dir {name.rpartition('/')[2]}"
        raise Unavailable(
            f"{name} cannot be fetched from the hub: {first.rstrip('.')}. On a machine that "
            f"reaches it, run `{command}`; copy that folder here, and give it"
        ) from error


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InvalidArgument("checkpoint", f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidArgument("checkpoint", f"{path} must hold an object")
    return value


def _config(directory: Path) -> dict[str, Any]:
    path = directory / CONFIG_FILE
    config = _object(path)
    kind = config.get("model_type")
    if kind != "segformer":
        raise InvalidArgument(
            "checkpoint",
            f"{path} is of a {kind!r} model; only 'segformer' is exported: export it to ONNX with "
            "its own tools and give that file to `assay import-onnx`",
        )
    architectures = config.get("architectures") or [_CLASS]
    if _CLASS not in architectures:
        raise InvalidArgument(
            "checkpoint", f"{path} is of {architectures}; {_CLASS} is needed (it has a decode head)"
        )
    if config.get("num_channels", 3) != 3:
        raise InvalidArgument("checkpoint", f"{path}: num_channels must be 3")
    return config


def _classes(config: Mapping[str, Any], known: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the class names by id; without id2label those `known`, else "class 0" and so on."""
    named = config.get("id2label")
    if named is None and known is not None and len(known) == config.get("num_labels"):
        named = {str(index): name for index, name in enumerate(known)}
    if named is None:
        count = config.get("num_labels", 2)
        if type(count) is not int or not 1 <= count <= MAX_CLASSES:
            raise InvalidArgument("checkpoint", f"num_labels {count!r} in {CONFIG_FILE}")
        return tuple(f"class {index}" for index in range(count))
    wanted = {str(i) for i in range(len(named))} if isinstance(named, dict) else set()
    if not wanted or set(named) != wanted:
        problem = f"id2label in {CONFIG_FILE} must name ids 0, 1, 2, ..."
        lacking = sorted(map(int, wanted - set(named)))[:1]
        if lacking:
            problem += f": {lacking[0]} is missing; give it a name, if only 'unused'"
        raise InvalidArgument("checkpoint", problem)
    if len(named) > MAX_CLASSES:
        raise InvalidArgument(
            "checkpoint", f"{CONFIG_FILE} has {len(named):,} classes; at most {MAX_CLASSES:,}"
        )
    count = config.get("num_labels", len(named))
    if count != len(named):
        raise InvalidArgument(
            "checkpoint", f"{CONFIG_FILE}: num_labels is {count!r}, and id2label has {len(named):,}"
        )
    names = (str(named[str(index)]).strip() for index in range(len(named)))
    return tuple(name or f"class {index}" for index, name in enumerate(names))


def _check_sizes(
    file: Path, state: Mapping[str, Any], config: Mapping[str, Any], classes: int
) -> None:
    """Refuse a configuration that does not fit the weights, before the model is made."""
    head = state.get("decode_head.classifier.weight", state.get("decode_head.conv_seg.weight"))
    if head is not None and len(head) != classes:
        raise InvalidArgument(
            "checkpoint",
            f"{file} has {plural(len(head), 'class', 'classes')}, and {CONFIG_FILE} names "
            f"{classes:,}: let id2label name those of the weights",
        )
    for name, one in state.items():
        if name.endswith((".weight", ".bias")) and not one.is_floating_point():
            kind = str(one.dtype).removeprefix("torch.")
            raise InvalidArgument(
                "checkpoint",
                f"{file} is quantised: {name} is in {kind}; give the weights that it was made of, "
                "or its ONNX file to `assay import-onnx`",
            )
        if not one.isfinite().all():
            raise InvalidArgument(
                "checkpoint", f"{file}: {name} holds values that are not finite; training diverged"
            )
    largest = max((side for one in state.values() for side in one.shape), default=0)
    most = {"depths": len(state), "hidden_sizes": largest, "decoder_hidden_size": largest}
    for key, limit in most.items():
        stated = config.get(key, 0)
        if any(
            isinstance(one, int | float) and one > limit
            for one in (stated if isinstance(stated, list) else [stated])
        ):
            raise InvalidArgument(
                "checkpoint", f"{key} in {CONFIG_FILE} is {stated}: not that of {file}"
            )


def _model(
    file: Path, weights: Weights, config: dict[str, Any]
) -> SegformerForSemanticSegmentation:
    try:
        with _quiet():
            loaded: Any = SegformerForSemanticSegmentation.from_pretrained(
                None,
                config=SegformerConfig.from_dict(config),
                state_dict=dict(weights.state),
                attn_implementation="eager",
                ignore_mismatched_sizes=True,  # reported, and refused below by name
                dtype="float32",
                output_loading_info=True,
                trust_remote_code=False,
            )
            model, report = loaded
            if weights.convolutional_head:
                model = with_convolutional_head(model, weights.state)
    except (
        OSError, ValueError, TypeError, KeyError, RuntimeError, IndexError, EOFError,
        ZeroDivisionError, AttributeError, StrictDataclassError,
    ) as error:  # fmt: skip
        reason = str(error).strip().split("\n")[0]
        raise InvalidArgument("checkpoint", f"{file} cannot be loaded: {reason}") from error
    for key in ("missing_keys", "mismatched_keys"):
        wrong = sorted(name for name in map(str, report[key]) if not name.endswith(_COUNTER))
        if weights.convolutional_head:  # the model got its own head
            wrong = [name for name in wrong if "decode_head." not in name]
        if wrong:
            some = ", ".join(wrong[:3])
            raise InvalidArgument(
                "checkpoint", f"{file}: {len(wrong)} {key.replace('_', ' ')}, as {some}"
            )
    checked: SegformerForSemanticSegmentation = model.eval()
    return checked


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's progress bars and advice off the terminal."""
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
