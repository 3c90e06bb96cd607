"""Turns a manifest, a mapping parsed from YAML, into an `Artifact` or a `Page`. Pure.

All errors are reported at once, each with its path and what to write instead. Unknown keys are
refused: a misspelt `tolerence` must not silently mean an exact bound.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import (
    Field,
)

from services.common.strict_documents import validate
from services.errors import InvalidArgument, Violation
from services.ranker.claims import model
from services.ranker.claims.claim_entry import ClaimEntry, PageClaimEntry, SourceEntry
from services.ranker.claims.fields import (
    Day,
    Digest,
    Id,
    Number,
    Part,
    Size,
    String,
    Strings,
    TypeOfArtifact,
)


def parse(document: object, name: str) -> model.Artifact | model.Page | model.Withdrawal:
    """Turn one YAML document into an artifact, a page, or the withdrawal of either.

    `name` is its name in messages.

    Raises `InvalidArgument` with all errors.
    """
    kind = document.get("kind") if isinstance(document, Mapping) else None
    kinds: Mapping[object, type[_Artifact | _Page | _Withdrawal]] = {
        "artifact": _Artifact,
        "page": _Page,
        "withdrawal": _Withdrawal,
    }
    if kind is not None and (not isinstance(kind, str) or kind not in kinds):
        raise InvalidArgument(
            f"{name}.kind", f"{kind!r:.60} is not one of {', '.join(map(str, kinds))}"
        )
    problems = list(_repeated_ids(document, name))
    try:
        entry = validate(kinds.get(kind, _Artifact), document, name)
    except InvalidArgument as error:
        problems += [(_by_id(path, document, name), told) for path, told in error.violations]
    if problems:
        raise InvalidArgument(*problems[0], *problems[1:])
    return entry.entry(_digest(document))


def readable_claims(document: object) -> tuple[model.Claim, ...]:
    """Return the claims of a document that are valid on their own, despite other errors.

    So claims that do not fit their methods can be reported together with errors elsewhere.
    """
    if not isinstance(document, Mapping):
        return ()
    found = []
    items, owner = document.get("claims"), document.get("id")
    own = owner if isinstance(owner, str) and document.get("kind") != "page" else ""
    for item in items if isinstance(items, list) else ():
        with suppress(InvalidArgument):
            one = validate(PageClaimEntry, item)
            found.append(one.claim(artifact=one.artifact or own))
    return tuple(found)


def _digest(document: object) -> str:
    """Digest of the manifest's content: comments and layout do not count."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _repeated_ids(document: object, name: str) -> Iterator[Violation]:
    for key in ("claims", "capabilities"):
        items = document.get(key) if isinstance(document, Mapping) else None
        seen: set[str] = set()
        for index, item in enumerate(items if isinstance(items, list) else ()):
            identifier = item.get("id") if isinstance(item, Mapping) else None
            if isinstance(identifier, str):
                if identifier in seen:
                    problem = f"{identifier!r} appears twice; ids are unique"
                    yield f"{name}.{key}[{index}].id", problem
                seen.add(identifier)


def _by_id(path: str, document: object, name: str) -> str:
    """A path with the id of a claim or capability instead of its index, if it has one."""
    found = re.match(rf"{re.escape(name)}\.(claims|capabilities)\[(\d+)\](?=\.)", path)
    if found is None or not isinstance(document, Mapping):
        return path
    identifier = document[found[1]][int(found[2])].get("id")
    if not isinstance(identifier, str) or not identifier.strip():
        return path
    return f"{name}.{found[1]}[{identifier.strip()}]{path[found.end() :]}"


class _Capability(Part):
    id: Id
    name: String
    description: String
    intents: Strings = ()
    best_for: Strings = ()
    limitations: Strings = ()
    requires: Strings = ()
    inputs: Strings = ()
    outputs: Strings = ()
    categories: Strings = ()
    tags: Strings = ()


class _License(Part):
    id: String
    name: String
    url: String = ""
    research_only: bool = False


_COMPONENTS = ("adoption", "quality", "ecosystem", "match_graph")


class _PublishedScore(Part):
    value: Number
    source: String
    components: Mapping[Literal["adoption", "quality", "ecosystem", "match_graph"], Literal[0, 1]]

    def problems(self) -> Iterator[Violation]:
        if not 0 <= self.value <= 100:
            yield "value", f"is {self.value:g}; a score is of 100"
        missing = [one for one in _COMPONENTS if one not in self.components]
        if missing:
            yield "components", f"{', '.join(missing)} is missing; write each as printed, 0 or 1"

    def score(self) -> model.PublishedScore:
        components = {str(name): int(bit) for name, bit in self.components.items()}
        return model.PublishedScore(self.value, self.source, components)


class _Artifact(Part):
    kind: Literal["artifact"]
    schema_: Literal[1] = Field(alias="schema")
    id: Id
    name: String
    type: TypeOfArtifact
    description: String
    license: _License
    pricing: String
    capabilities: tuple[_Capability, ...]
    claims: tuple[ClaimEntry, ...]
    published: _PublishedScore | None = None
    subject: String = ""
    classes: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None
    input: Size | None = None
    revision: String = ""
    digest: Digest | None = None
    subsets: tuple[String, ...] = ()
    files: Mapping[String, Digest] = Field(default_factory=dict)
    released: Day | None = None
    version: Annotated[int, Field(ge=1, lt=1 << 31)] = 1

    def problems(self) -> Iterator[Violation]:
        segments = self.type is model.ArtifactType.SEGMENTATION_MODEL
        for key in ("classes", "input") if not segments else ("subsets", "files"):
            if getattr(self, key):
                yield key, f"a {self.type.value} has none; take it out"
        if not segments and self.subject not in ("", self.id):
            problem = (
                f"anything but a segmentation model is measured under its own id, {self.id!r}: "
            )
            yield "subject", problem + "serve it as that, and take `subject` out"

    def entry(self, digest: str) -> model.Artifact:
        return model.Artifact(
            id=self.id,
            name=self.name,
            type=self.type,
            description=self.description,
            license=model.License(**dict(self.license)),
            pricing=self.pricing,
            capabilities=tuple(model.Capability(**dict(one)) for one in self.capabilities),
            claims=tuple(one.claim(artifact=self.id) for one in self.claims),
            published=self.published.score() if self.published else None,
            digest=digest,
            subject=self.subject,
            configuration=model.Configuration(
                self.classes or 0,
                self.input,
                self.revision,
                self.digest or "",
                self.subsets,
                self.files,
            ),
            released=self.released,
            version=self.version,
        )


class _Page(Part):
    kind: Literal["page"]
    schema_: Literal[1] = Field(alias="schema")
    id: Id
    name: String
    description: String
    compares: Strings = ()
    printed: Mapping[str, Mapping[str, Number]] = Field(default_factory=dict)
    claims: tuple[PageClaimEntry, ...]
    source: SourceEntry | None = None
    version: Annotated[int, Field(ge=1, lt=1 << 31)] = 1

    def entry(self, digest: str) -> model.Page:
        source = self.source.source() if self.source else None
        names = (self.name, source.title, source.url) if source else (self.name,)
        return model.Page(
            id=self.id,
            name=self.name,
            description=self.description,
            compares=self.compares,
            printed=self.printed,
            claims=tuple(
                replace(
                    one.claim(page=self.id, artifact=one.artifact or ""),
                    stated_in=tuple(name for name in names if name),
                )
                for one in self.claims
            ),
            digest=digest,
            version=self.version,
            source=source,
        )


class _Withdrawal(Part):
    kind: Literal["withdrawal"]
    schema_: Literal[1] = Field(alias="schema")
    id: Id
    reason: String
    version: Annotated[int, Field(ge=2, lt=1 << 31)]

    def entry(self, digest: str) -> model.Withdrawal:
        return model.Withdrawal(self.id, self.version, self.reason, digest)
