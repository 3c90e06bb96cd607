"""The export itself: facts, fold, graph, manifest, parity, in that order. Needs torch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from services.common.percent import percent
from services.errors import InvalidArgument
from services.segment.ade20k import ADE20K_CLASSES, palette
from services.segment.engines.parity import probe_inputs
from services.segment.export.architectures import Architecture, architecture, architecture_name
from services.segment.export.checkpoint import load_checkpoint
from services.segment.export.facts import source_facts
from services.segment.export.folding import FoldedSegformer
from services.segment.export.given import DEFAULT_THRESHOLD, Given
from services.segment.export.graph import describe_graph, torch_labels, write_graph
from services.segment.export.licenses import APACHE
from services.segment.export.measure import measured, probed, require_engine, source_logits
from services.segment.export.output import atomic_directory, check_output
from services.segment.export.precision import in_precision
from services.segment.export.preprocessing import ADE20K_PREPROCESSING
from services.segment.images.threshold import log_odds
from services.segment.manifest import (
    LICENSE_FILE,
    MODEL_FILE,
    NAME_RULE,
    SCHEMA,
    SOURCE_PREFIX,
    Manifest,
    ModelClass,
    ModelLicense,
    ModelPreprocessing,
    Precision,
    WeightsKind,
    file_digest,
    is_name,
    labels_type,
    part_digests,
    write_manifest,
)

Progress = Callable[[str], None]
_PACKAGES = ("onnx", "onnxruntime", "onnxscript", "openvino", "torch", "transformers")


@dataclass(frozen=True)
class Source:
    """An unmodified model and the facts to record about it.

    `background` is the logit of the class that is added before the only class of a model; `classes`
    contains both.
    """

    model: SegformerForSemanticSegmentation
    name: str
    weights: WeightsKind
    license: ModelLicense
    words: str
    classes: tuple[str, ...]
    preprocessing: ModelPreprocessing
    license_text: Path | None = None
    files: tuple[Path, ...] = ()
    probes: Sequence[Path] = field(default=())
    threshold: float | None = None

    @property
    def background(self) -> float | None:
        """The logit of the background class that is added to a one-class model."""
        return None if self.threshold is None else log_odds(self.threshold)


def checkpoint_source(
    checkpoint: str | Path,
    name: str | None,
    probes: Sequence[Path],
    progress: Progress,
    given: Given,
) -> Source:
    """Return the source for a checkpoint directory, a file of weights or a hub name.

    A one-class model gets the background as its first class: a pixel has the other class where its
    probability, the sigmoid of its logit, is above the given threshold.
    """
    loaded = load_checkpoint(checkpoint, progress, given)
    words, classes, threshold = f"the checkpoint {loaded.name}", loaded.classes, None
    if len(classes) == 1:
        threshold = DEFAULT_THRESHOLD if given.threshold is None else given.threshold
        classes = ("other" if classes[0].lower() == "background" else "background", *classes)
        words += f"; its one class is where its probability is above {threshold:g}"
    elif given.threshold is not None:
        raise InvalidArgument(
            "threshold", f"is for models of one class; this one has {len(classes)}"
        )
    return Source(
        loaded.model,
        name or loaded.name.rstrip("/").rsplit("/", 1)[-1],
        "published",
        loaded.license,
        words,
        classes,
        loaded.preprocessing,
        loaded.license_text,
        loaded.files,
        probes,
        threshold,
    )


def random_config(name: str) -> SegformerConfig:
    """Return the configuration of "b0" .. "b5" with ADE20K's classes."""
    sizes = architecture(name)
    config = SegformerConfig(
        depths=list(sizes.depths),
        hidden_sizes=list(sizes.widths),
        decoder_hidden_size=sizes.decoder_width,
    )
    config.num_labels = len(ADE20K_CLASSES)
    return config


def random_source(name: str, seed: int, probes: Sequence[Path]) -> Source:
    """Return a model of "b0" .. "b5" with weights drawn from `seed`."""
    config = random_config(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SegformerForSemanticSegmentation(config).train(False)
    return Source(
        model,
        f"segformer-{name.lower()}-random",
        "random",
        APACHE,
        f"drawn at random from seed {seed}; there are no trained weights in it",
        ADE20K_CLASSES,
        ADE20K_PREPROCESSING,
        probes=probes,
    )


def export(
    source: Source,
    out: Path,
    progress: Progress,
    precision: Precision = "fp32",
    version: str = "1",
) -> Manifest:
    """Write `out`, a model directory, if the graph passes the parity gate; return its manifest.

    The graph multiplies in `precision`. Facts are those of the source model in any case.

    Raises InvalidArgument for the name or `out`, Unavailable if nothing can run a graph in that
    precision, TooLarge for a full disk, InternalError for a graph that is not the model.
    """
    if not is_name(source.name):
        raise InvalidArgument("name", f"{source.name!r} is not a name: {NAME_RULE}")
    require_engine(precision)
    model, preprocessing = source.model, source.preprocessing
    height, width = preprocessing.height, preprocessing.width
    check_output(out, 3 * 4 * sum(parameter.numel() for parameter in model.parameters()))
    model.set_attn_implementation("eager")
    inputs = probe_inputs(preprocessing, source.probes)
    progress("counting the source model")
    facts = source_facts(model, height, width)
    kind = labels_type(len(source.classes))
    graph = describe_graph(kind, precision, source.threshold)
    source_logits(model, inputs[-1])
    with atomic_directory(out) as work:
        progress(f"exporting {facts.parameters:,} parameters (half a minute to minutes)")
        folded = FoldedSegformer(model, torch_labels(kind), source.background).eval()
        write_graph(in_precision(folded, precision), work / MODEL_FILE, height, width)
        if source.license_text is not None:
            shutil.copyfile(source.license_text, work / LICENSE_FILE)
        digests = {path.name: file_digest(path) for path in sorted(work.iterdir())}
        digests |= {SOURCE_PREFIX + path.name: file_digest(path) for path in source.files}
        colors = palette(source.classes)
        classes = tuple(
            ModelClass(name=name, color=color)
            for name, color in zip(source.classes, colors, strict=True)
        )
        digests |= part_digests(source.license, classes, preprocessing)
        manifest = Manifest(
            schema=SCHEMA,
            name=source.name,
            version=version,
            architecture=architecture_name(_sizes(model.config)),
            weights=source.weights,
            license=source.license,
            source=source.words,
            classes=classes,
            preprocessing=preprocessing,
            graph=graph,
            facts=facts,
            parities=(),
            digests=digests,
            made_with=_versions(),
        )
        progress("comparing the graph with the source model")
        parities = measured(work, manifest, probed(model, inputs, source.background))
        manifest = manifest.replaced(parities=parities)
        write_manifest(work, manifest)
    parity = parities[0]
    progress(
        f"the written graph: logits within {parity.max_abs_difference:.2g}, "
        f"labels agree on {percent(parity.label_agreement, 4)} of pixels "
        f"({parity.probes} pictures)"
    )
    return manifest


def _versions() -> dict[str, str]:
    return {
        package: importlib.metadata.version(package)
        for package in _PACKAGES
        if importlib.util.find_spec(package) is not None
    }


def _sizes(config: SegformerConfig) -> Architecture:
    return Architecture(
        tuple(config.depths), tuple(config.hidden_sizes), config.decoder_hidden_size
    )
