"""Language models by registered name. Callers never give a path."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from services.corpus.bpb.compressors import COMPRESSORS
from services.corpus.bpb.models import choice
from services.corpus.bpb.models.checkpoint.model_directory import (
    ByteManifest,
    HuggingFaceModel,
    digest,
    file_digests,
    read_directory,
)
from services.corpus.bpb.models.choice import Loaded
from services.corpus.bpb.models.compute import FASTEST, Compute
from services.corpus.bpb.models.hub_hint import hub_hint
from services.corpus.bpb.models.language_model import LanguageModel, ModelInfo
from services.errors import InvalidArgument, NotFound, SourceChanged

REFERENCE = "byte-reference"
REFERENCE_DIRECTORY = Path(__file__).parents[1] / "reference"
_SHORT_DIGEST = 12
_NAMED = 3
_State = dict[str, tuple[int, int]]


class Registry:
    """Finds and loads models. The packaged reference model is always among them.

    A directory is read when it is first needed, and `check` reads all of them; digests are taken
    when first requested, and a model is loaded when it is first scored. The last one stays loaded.
    A digest and what is loaded under it are of the same files: of files that changed in between,
    as those that a training writes do, there is neither.
    """

    def __init__(self, directories: Mapping[str, Path]) -> None:
        """Register directories by name."""
        self._directories = {REFERENCE: REFERENCE_DIRECTORY, **directories}
        self._found: dict[str, ByteManifest | HuggingFaceModel] = {}
        self._states: dict[str, _State] = {}
        self._infos: dict[str, ModelInfo] = {}
        self._loaded: tuple[tuple[str, Compute], Loaded] | None = None
        self._lock = threading.Lock()

    def check(self) -> None:
        """Read what every directory says about itself.

        Raises InvalidArgument, naming what is missing, for one that is not a model's, and for one
        that has the name of a compressor.
        """
        with self._lock:
            for name in self._directories:
                if name in COMPRESSORS:
                    raise InvalidArgument(
                        f"language_models[{name!r}]", "is a compressor's name; choose another"
                    )
                self._find(name)

    def list(self) -> list[ModelInfo]:
        """Describe every model, by name. The first call reads all of their files."""
        return [self.describe(name) for name in sorted(self._directories)]

    def describe(self, name: str) -> ModelInfo:
        """Describe a model. The first call on it reads all of its files.

        Raises NotFound, listing those that are registered, and SourceChanged.
        """
        with self._lock:
            found = self._find(name)
            if name not in self._infos:
                info = _info(name, found)
                self._require_unchanged(name, found)
                self._infos[name] = info
            return self._infos[name]

    def directory(self, name: str) -> Path:
        """Return a model's directory. Raises NotFound as `describe` does."""
        with self._lock:
            self._find(name)
        return self._directories[name]

    @contextmanager
    def reading(self, name: str) -> Iterator[ByteManifest | HuggingFaceModel]:
        """Yield a model's directory to work that reads its files itself.

        At the end of the work, raises SourceChanged unless the files still have the digest that
        `describe` gives; the work itself may fail over a half-written file. Raises NotFound.
        """
        self.describe(name)
        found = self._found[name]  # kept, because its digest was given to a caller
        self._require_unchanged(name, found)
        try:
            yield found
        finally:
            self._require_unchanged(name, found)

    def load(self, name: str, compute: Compute = FASTEST) -> LanguageModel:
        """Load a model, or return it when it was the last one loaded. Blocks.

        Raises as `start` does.
        """
        return self.start(name, compute).model

    def start(self, name: str, compute: Compute = FASTEST) -> Loaded:
        """Load a model, or return it when it was the last one loaded, with what runs it. Blocks.

        Raises NotFound; EngineUnavailable when what runs the model is not installed or does not
        agree with the reference; SourceChanged when its file is not the one that its manifest
        describes, or files have changed since they were read; ModelUnusable when it can't be loaded
        or could not be trusted; InvalidArgument for an engine that can't run it.
        """
        with self._lock:
            found = self._find(name)
            if self._loaded is None or self._loaded[0] != (name, compute):
                self._loaded = None  # two models need not fit into memory
                self._require_unchanged(name, found)
                try:
                    loaded = choice.start(name, found, compute)
                finally:  # a file that is half written cannot be loaded either
                    self._require_unchanged(name, found)
                self._loaded = ((name, compute), loaded)
            return self._loaded[1]

    def _find(self, name: str) -> ByteManifest | HuggingFaceModel:
        if name not in self._directories:
            raise NotFound("language model", name, self._directories, hub_hint(name))
        found = self._found.get(name)
        if found is not None and not self._is_used(name) and _state(found) != self._states[name]:
            found = None  # no caller has its earlier digest
        if found is None:
            found = self._found[name] = read_directory(name, self._directories[name])
            self._states[name] = _state(found)
        return found

    def _is_used(self, name: str) -> bool:
        return name in self._infos or (self._loaded is not None and self._loaded[0][0] == name)

    def _require_unchanged(self, name: str, found: ByteManifest | HuggingFaceModel) -> None:
        now, then = _state(found), self._states[name]
        changed = sorted(
            file for file in now.keys() | then.keys() if now.get(file) != then.get(file)
        )
        if changed:
            raise SourceChanged(
                f"the files of the model {name} have changed since the server read them "
                f"({', '.join(changed[:_NAMED])}): a figure would be of other weights than its "
                "digest says; start the server again when they are whole"
            )


def _state(found: ByteManifest | HuggingFaceModel) -> _State:
    """Return the size and the time of each of a model's files that is there."""
    states: _State = {}
    for path in found.files:
        with suppress(OSError):
            status = path.stat()
            states[path.name] = (status.st_size, status.st_mtime_ns)
    return states


def _info(name: str, found: ByteManifest | HuggingFaceModel) -> ModelInfo:
    files = file_digests(found.files)
    content = digest(files)
    eos: int | None
    bos: int | None
    if isinstance(found, ByteManifest):
        version, reference = found.version, found.reference
        # Bytes, and the token that stands before them.
        vocabulary, bos, eos = max(256, found.prefix_token + 1), found.prefix_token, None
    else:
        # Their directories carry no version: the content is the version.
        version = content.removeprefix("sha256:")[:_SHORT_DIGEST]
        reference = False
        vocabulary, bos, eos = found.vocabulary, found.bos_token, found.eos_token
    return ModelInfo(
        name=name,
        version=version,
        digest=content,
        architecture=found.architecture,
        max_length=found.max_length,
        parameters=found.parameters,
        license=found.license,
        reference=reference,
        engine=choice.usual_engine(found),
        vocabulary=vocabulary,
        bos_token=bos,
        eos_token=eos,
        files=files,
        max_length_assumed=isinstance(found, HuggingFaceModel) and found.max_length_assumed,
    )
