"""Says what a folder holds when it is not a causal language model that can be scored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ADAPTER = "adapter_config.json"
# Files of tokenizers that tokenizer.json can be made from, and what transformers needs for it.
_OTHER_TOKENIZERS = {
    "tokenizer.model": "sentencepiece protobuf",
    "spiece.model": "sentencepiece protobuf",
    "sentencepiece.bpe.model": "sentencepiece protobuf",
    "merges.txt": "",
    "vocab.txt": "",
    "vocab.json": "",
}
_OTHER_WEIGHTS = (
    ("*.bin", "pickled weights, which are not loaded"),
    ("*.pth", "pickled weights, which are not loaded"),
    ("*.pt", "pickled weights, which are not loaded"),
    ("*.gguf", "weights in llama.cpp's format"),
    ("*.msgpack", "weights in Flax's format"),
    ("*.h5", "weights in TensorFlow's format"),
    ("consolidated*", "weights in their maker's own format"),
)
_LFS_POINTER = b"version https://git-lfs"
# Endings of the names of classes that predict something other than the next token.
_OTHER_CLASSES = {
    "ForMaskedLM": "a masked language model, which fills in blanks with both sides in view",
    "ForPreTraining": "a masked language model, which fills in blanks with both sides in view",
    "ForSequenceClassification": "a classifier or reward model, which rates whole texts",
    "ForTokenClassification": "a classifier of tokens",
    "ForQuestionAnswering": "a model that marks answers in a text",
    "ForMultipleChoice": "a model that chooses among answers",
    "ForNextSentencePrediction": "a model that judges pairs of sentences",
    "RewardModel": "a reward model, which rates whole texts",
}

# Kinds that do not predict from left to right, whatever their class is called.
_OTHER_KINDS = {
    "xlnet": "a permutation language model, which predicts tokens in random orders with both sides "
    "in view",
}


class NotAModelError(Exception):
    """The message says what is missing or what the folder is instead, as the rest of a sentence."""


def refuse_other_files(directory: Path) -> None:
    """Refuse a folder by the files that it has.

    Raises NotAModelError for an adapter without its base, for a folder without config.json, and
    for one whose tokenizer is not in tokenizer.json.
    """
    has_config = (directory / "config.json").exists()
    if (directory / _ADAPTER).exists():
        raise NotAModelError(
            "holds a model and an adapter of it: a figure would be of one of the two; move "
            "one of them out of the folder"
            if has_config
            else "is an adapter (PEFT) without its base model; merge the two with `python -m "
            f"services.corpus.bpb.models.merge_adapter BASE {directory.name} OUT` and score OUT"
        )
    if not has_config:
        if (directory / "params.json").is_file() or list(directory.glob("*.gguf")):
            raise NotAModelError(
                "has no config.json: it is in another program's format; take the model's release "
                "for transformers"
            )
        inner = next(iter(sorted(directory.glob("**/config.json"))), None)
        hint = f"; {inner.parent.relative_to(directory)} in it has one" if inner else ""
        raise NotAModelError(
            f"has no config.json{hint}; a model's directory holds config.json, tokenizer.json and "
            "model.safetensors (or lm.json, for a byte-level model in ONNX)"
        )
    if not (directory / "tokenizer.json").exists():
        raise NotAModelError(_no_tokenizer(directory))


def refuse_pointer(file: Path) -> None:
    """Refuse a file that is only a pointer of git-lfs. Raises NotAModelError."""
    with file.open("rb") as opened:
        begun = opened.read(len(_LFS_POINTER))
    if begun == _LFS_POINTER:
        raise NotAModelError(
            f"has a git-lfs pointer instead of {file.name}: get the file with `git lfs pull` "
            f"in the clone, or the whole model with `hf download NAME --local-dir "
            f"{file.parent.name}`"
        )


def refuse_other_classes(config: Mapping[str, Any]) -> None:
    """Refuse a model by what config.json says of it. Raises NotAModelError."""
    names = [name for name in config.get("architectures") or () if isinstance(name, str)]
    kind = config.get("model_type")
    if isinstance(kind, str) and kind in _OTHER_KINDS:
        raise NotAModelError(
            f"is {_OTHER_KINDS[kind]} ({', '.join(names) or kind}): it has no likelihood of a text "
            "from left to right; score a causal language model"
        )
    for name in names:
        if name.endswith("ForCausalLM"):
            return
    if config.get("is_encoder_decoder"):
        raise NotAModelError(
            f"is a sequence-to-sequence model ({', '.join(names) or config.get('model_type')}): it "
            "gives likelihoods of an answer to a text, not of a text; score a causal language model"
        )
    for name in names:
        for ending, what in _OTHER_CLASSES.items():
            if name.endswith(ending):
                raise NotAModelError(
                    f"is {what} ({name}), and has no likelihood of a text; score the causal "
                    "language model that it was made from"
                )


def refuse_dropout(tokenizer: Mapping[str, Any]) -> None:
    """Refuse the content of a tokenizer.json whose merges are left out at random.

    BPE dropout is for training. Figures and token streams have to be the same in every run and on
    every replica. Raises NotAModelError.
    """
    model = tokenizer.get("model")
    dropout = model.get("dropout") if isinstance(model, Mapping) else None
    if dropout:
        raise NotAModelError(
            f"has a tokenizer.json with BPE dropout ({dropout}), which cuts a text in another way "
            'each time; set "dropout" to null in the "model" of tokenizer.json'
        )


def no_weights(directory: Path) -> NotAModelError:
    """Say which files the folder has instead of model.safetensors."""
    for pattern, what in _OTHER_WEIGHTS:
        other = next((path.name for path in sorted(directory.glob(pattern))), None)
        if other is not None and other != "training_args.bin":
            return NotAModelError(
                f"has no model.safetensors but {what}: convert {other}, where you trust it, with "
                f"{_SAVE_MODEL.format(folder=directory.name)}"
            )
    other = next((path.name for path in sorted(directory.glob("*.safetensors"))), None)
    hint = f", but {other}, which no model.safetensors.index.json names" if other else ""
    return NotAModelError(f"has no model.safetensors{hint}")


_SAVE_MODEL = (
    '`python -c "from transformers import AutoModelForCausalLM as M; '
    "M.from_pretrained('{folder}').save_pretrained('{folder}')\"`"
)
_SAVE_TOKENIZER = (
    '`python -c "from transformers import AutoTokenizer as T; '
    "T.from_pretrained('{folder}').save_pretrained('{folder}')\"`"
)


def _no_tokenizer(directory: Path) -> str:
    for name, packages in _OTHER_TOKENIZERS.items():
        if (directory / name).is_file():
            needs = f", which needs `pip install {packages}`" if packages else ""
            return (
                f"has no tokenizer.json but {name}: make one of it with "
                f"{_SAVE_TOKENIZER.format(folder=directory.name)}{needs}"
            )
    return "has no tokenizer.json, without which its texts cannot be read"
