"""What can be scored, by name: registered language models and built-in compressors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from services.corpus.bpb.compressors import COMPRESSORS
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.figures import DocumentScore
from services.corpus.bpb.models.choice import Loaded
from services.corpus.bpb.models.compute import Compute
from services.corpus.bpb.models.language_model import ModelInfo
from services.corpus.bpb.models.registry import Registry
from services.corpus.bpb.scoring import score_document
from services.corpus.shards.documents import Document
from services.errors import InvalidArgument, NotFound

ScoreOne = Callable[[Document, Callable[[int], None]], DocumentScore]


class Scorers:
    """Describes and loads what scores documents."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def describe(self, name: str) -> ModelInfo:
        """Describe a model or a compressor. The first call on a model reads all of its files.

        Raises NotFound, listing what there is.
        """
        if name in COMPRESSORS:
            return COMPRESSORS[name].info
        try:
            return self._registry.describe(name)
        except NotFound as error:
            raise NotFound(error.kind, name, [*error.known, *COMPRESSORS]) from None

    def resolve(self, name: str, definition: Definition) -> Definition | None:
        """Spell a definition out for a model; None for a compressor, which has no windows.

        Raises InvalidArgument for what does not fit the model, and for any with a compressor.
        """
        if name not in COMPRESSORS:
            return definition.resolve(self.describe(name))
        if definition != Definition():
            raise InvalidArgument(
                "definition", f"{name} compresses whole documents, without windows; leave it out"
            )
        return None

    def takes(self, name: str, definition: Definition) -> Definition:
        """Return what of a definition for several is meant for this one."""
        return Definition() if name in COMPRESSORS else definition

    def start(self, name: str, compute: Compute) -> Loaded | None:
        """Load a model on what it is to run on; None for a compressor. Blocks.

        Raises what `Registry.start` raises.
        """
        return None if name in COMPRESSORS else self._registry.start(name, compute)

    def score_one(
        self, name: str, loaded: Loaded | None, definition: Definition | None
    ) -> ScoreOne:
        """Return what scores a document by a resolved definition."""
        if loaded is None or definition is None:
            return COMPRESSORS[name].score
        return partial(score_document, loaded.model, definition)
