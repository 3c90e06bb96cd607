"""Reads a manifest: a mapping as YAML gives it becomes an `Artifact` or a `Page`.

Pure. Everything that is wrong is told at once, with its path and what to write instead. Unknown
keys are refused: a misspelt `tolerence` must not silently become exactness.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    StringConstraints,
    field_validator,
)

from services.common.documents import Document, validate
from services.errors import InvalidArgument, Violation
from services.ranker.claims import model
from services.ranker.claims.fitting import nearest

SCHEMA = 1


def parse(document: object, name: str) -> model.Artifact | model.Page | model.Withdrawal:
    """Turn one YAML document into an artifact, a page, or that one of them is withdrawn.

    `name` is what messages call it.

    Raises `InvalidArgument` with everything that is wrong.
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
    """Return the claims of a document that are right by themselves, whatever else is wrong in it.

    With them what does not fit their methods can be told at once with what is wrong elsewhere.
    """
    if not isinstance(document, Mapping):
        return ()
    found = []
    items, owner = document.get("claims"), document.get("id")
    own = owner if isinstance(owner, str) and document.get("kind") != "page" else ""
    for item in items if isinstance(items, list) else ():
        with suppress(InvalidArgument):
            one = validate(_PageClaim, item)
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
                    problem = f"{identifier!r} is there twice; ids are unique"
                    yield f"{name}.{key}[{index}].id", problem
                seen.add(identifier)


def _by_id(path: str, document: object, name: str) -> str:
    """A path with the id of a claim or capability in place of its index, if it has one."""
    found = re.match(rf"{re.escape(name)}\.(claims|capabilities)\[(\d+)\](?=\.)", path)
    if found is None or not isinstance(document, Mapping):
        return path
    identifier = document[found[1]][int(found[2])].get("id")
    if not isinstance(identifier, str) or not identifier.strip():
        return path
    return f"{name}.{found[1]}[{identifier.strip()}]{path[found.end() :]}"


def _number(value: object) -> int | float:
    """A finite number. One that is written without a point stays an int, as evidence keeps it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number, not {value!r:.60}")  # noqa: TRY004  (pydantic's)
    if not -1e300 < value < 1e300:
        raise ValueError(f"must be finite, not {value!r:.60}")
    return value


def _date(value: object) -> str:
    """A day, or as much of it as is known: "2021-05-31", "2021-05" or "2021"."""
    found = re.fullmatch(r"(\d{4})(-\d\d)?(-\d\d)?", value if isinstance(value, str) else "")
    try:
        date.fromisoformat(f"{found[1]}{found[2] or '-01'}{found[3] or '-01'}" if found else "")
    except ValueError:
        raise ValueError(f'must be a date in quotes, like "2021-05", not {value!r:.60}') from None
    return str(value)


def _says(value: object) -> tuple[float, ...] | str | bool | None:
    """What a source says: a number, several that it allows, a text or a truth."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip():
        return value.strip()
    numbers = tuple(map(_number, value if isinstance(value, tuple | list) else (value,)))
    if not numbers:
        raise ValueError("is empty; write the figure, or take the key out")
    return numbers


_Date = Annotated[str, PlainValidator(_date)]
_Says = Annotated[tuple[float, ...] | str | bool | None, PlainValidator(_says)]


def _day(value: object) -> date:
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(f'must be a day in quotes, like "2020-12-31", not {value!r:.60}') from None


def _one_of(kind: type[StrEnum]) -> PlainValidator:
    """Accept the values of an enum; suggest the nearest for another."""

    def check(value: object) -> StrEnum:
        known = [one.value for one in kind]
        if isinstance(value, str) and value in known:
            return kind(value)
        near = nearest(str(value).casefold(), [one.casefold() for one in known])
        meant = [one for one in known if near and one.casefold() == near[0]]
        hint = f"; did you mean {meant[0]!r}?" if meant else ""
        raise ValueError(f"{value!r:.60} is not one of {', '.join(known)}{hint}")

    return PlainValidator(check)


_CITES = "sources."
_Aspect = Annotated[model.Aspect, _one_of(model.Aspect)]
_Type = Annotated[model.ArtifactType, _one_of(model.ArtifactType)]


def _size(value: object) -> tuple[int, int]:
    """Height and width in pixels, written "512x512"."""
    found = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", value if isinstance(value, str) else "")
    if found is None:
        raise ValueError(f'must be height and width, like "512x512", not {value!r:.60}')
    return int(found[1]), int(found[2])


_Size = Annotated[tuple[int, int], PlainValidator(_size)]
_Number = Annotated[float, PlainValidator(_number)]
_Day = Annotated[date, PlainValidator(_day)]
_String = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Strings = tuple[str, ...]


def _of(pattern: str, what: str = "id") -> AfterValidator:
    """Hold a string to the pattern that the contract gives for it."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r:.60} is no {what}: it must match {pattern}")
        return value

    return AfterValidator(check)


_Id = Annotated[_String, _of("[a-z0-9][a-z0-9._-]{0,99}")]
_Digest = Annotated[_String, _of("sha256:[0-9a-f]{64}", "digest")]
_ClaimId = Annotated[_String, _of("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")]


class _Part(Document):
    """A part of a manifest; a key that is there has a value."""

    @field_validator("*", mode="before")
    @classmethod
    def _is_given(cls, value: object) -> object:
        if value is None:
            raise ValueError("must have a value, not null; write one or take the key out")
        return value


class _Equals(_Part):
    value: _Number
    tolerance: _Number

    def problems(self) -> Iterator[Violation]:
        if self.tolerance < 0:
            yield "tolerance", f"is {self.tolerance}; a half-width is 0 or more"


class _Range(_Part):
    low: _Number | None = None
    high: _Number | None = None

    def problems(self) -> Iterator[Violation]:
        if self.low is None and self.high is None:
            yield "low", "give `low`, `high` or both; without an end it allows anything"
        if self.low is not None and self.high is not None and self.low > self.high:
            yield "low", f"{self.low} is above `high`, {self.high}"


class _Bound(_Part):
    equals: _Equals | None = None
    range: _Range | None = None
    ratio: _Range | None = None
    text: _String | None = None
    boolean: bool | None = None
    unit: _String | None = None

    def problems(self) -> Iterator[Violation]:
        kinds = [name for name in type(self).model_fields if name != "unit"]
        given = [name for name in kinds if getattr(self, name) is not None]
        if len(given) != 1:
            yield (
                given[-1] if given else kinds[0],
                f"write exactly one of {', '.join(kinds)}",
            )
        elif given[0] in ("text", "boolean"):
            if self.unit is not None:
                yield "unit", f"a {given[0]} has no unit; take it out"
        elif self.unit is None:
            yield "unit", 'a number and its tolerance need a unit; "1" for a pure number'

    def bound(self) -> model.Bound:
        unit = self.unit or ""
        if self.equals is not None:
            return model.Equals(self.equals.value, self.equals.tolerance, unit)
        if self.range is not None:
            return model.Range(self.range.low, self.range.high, unit)
        if self.ratio is not None:
            return model.Ratio(self.ratio.low, self.ratio.high, unit)
        return model.Boolean(bool(self.boolean)) if self.text is None else model.Text(self.text)


class _Undecidable(_Part):
    verdict: Literal["NOT_TESTABLE_HERE", "UNDERSPECIFIED"]
    reason: _String


class _Cost(_Part):
    quick: _Number
    full: _Number

    def problems(self) -> Iterator[Violation]:
        if not 0 <= self.quick <= self.full:
            yield "quick", "costs are seconds, 0 or more, and `full` is not below `quick`"


class _Comparator(_Part):
    artifact: _Id | None = None
    name: _String = ""

    def problems(self) -> Iterator[Violation]:
        if not self.artifact and not self.name:
            yield "name", "name what it compares with, or the registered `artifact`"


class _Source(_Part):
    title: _String
    locator: _String = ""
    url: _String = ""
    quote: _String = ""
    date: _Date | None = None
    digest: _Digest | None = None
    says: _Says = None

    def source(self) -> model.Source:
        says = self.says
        return model.Source(
            **{
                **dict(self),
                "date": self.date or "",
                "digest": self.digest or "",
                "values": says if isinstance(says, tuple) else (),
                "says": says if isinstance(says, bool | str) else None,
            }
        )


def _mapped(key: str) -> BeforeValidator:
    """Let a text stand for a mapping that has it under one key."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


class _Claim(_Part):
    id: _ClaimId
    statement: _String
    aspect: _Aspect | None = None
    group: _String = ""
    bound: _Bound | None = None
    method: _String = ""
    scope: _String = ""
    hardware: _String = ""
    engine: _String = ""
    dataset: _String = ""
    comparator: Annotated[_Comparator, _mapped("name")] | None = None
    quote: _String = ""
    source: _Source | None = None
    sources: tuple[_Source, ...] = ()
    subset: _String = ""
    contradicts: _Strings = ()
    undecidable: _Undecidable | None = None
    needs: _String = ""
    cost: _Cost | None = None

    def problems(self) -> Iterator[Violation]:
        if not self.method or self.method.startswith(_CITES):
            for key in ("aspect", "group"):
                if not getattr(self, key):
                    yield key, "is missing; only a method that measures says it itself"
        for index, one in enumerate(self.sources):
            if problem := _unlike(self.bound, one.says):
                yield f"sources[{index}].says", problem
        if self.undecidable is None and (self.bound is None or not self.method):
            yield (
                "bound" if self.bound is None else "method",
                "a claim has a bound and a method, or says under `undecidable` why it cannot",
            )

    def claim(self, *, artifact: str = "", page: str = "") -> model.Claim:
        undecidable = self.undecidable
        changed = {
            "aspect": self.aspect or model.Aspect.PUBLICATION,
            "stated_aspect": self.aspect,
            "stated_group": self.group,
            "bound": self.bound.bound() if self.bound else None,
            "undecidable": model.Undecidable(model.Verdict(undecidable.verdict), undecidable.reason)
            if undecidable
            else None,
            "cost": model.Cost(**dict(self.cost)) if self.cost else model.Cost(),
            "comparator": self.comparator.name or self.comparator.artifact or ""
            if self.comparator
            else "",
            "rival": (self.comparator.artifact or "") if self.comparator else "",
            "source": self.source.source() if self.source else None,
            "sources": tuple(one.source() for one in self.sources),
            "declared": bool(self.sources),
        }
        return model.Claim(**{**dict(self), **changed, "artifact": artifact, "page": page})


class _PageClaim(_Claim):
    artifact: _Id | None = None


def _unlike(bound: _Bound | None, says: tuple[float, ...] | str | bool | None) -> str:
    """Why what a source says does not compare with a bound; empty when it does."""
    if bound is None or says is None:
        return ""
    for kind, given, written in (
        (bool, bound.boolean, "true or false"),
        (str, bound.text, "a text"),
    ):
        if (given is not None) != isinstance(says, kind):
            wanted = written if given is not None else "a number or a list of numbers"
            return f"{says!r:.60} is of another kind than the bound; write {wanted}"
    return ""


class _Capability(_Part):
    id: _Id
    name: _String
    description: _String
    intents: _Strings = ()
    best_for: _Strings = ()
    limitations: _Strings = ()
    requires: _Strings = ()
    inputs: _Strings = ()
    outputs: _Strings = ()
    categories: _Strings = ()
    tags: _Strings = ()


class _License(_Part):
    id: _String
    name: _String
    url: _String = ""
    research_only: bool = False


_COMPONENTS = ("adoption", "quality", "ecosystem", "match_graph")


class _PublishedScore(_Part):
    value: _Number
    source: _String
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


class _Artifact(_Part):
    kind: Literal["artifact"]
    schema_: Literal[1] = Field(alias="schema")
    id: _Id
    name: _String
    type: _Type
    description: _String
    license: _License
    pricing: _String
    capabilities: tuple[_Capability, ...]
    claims: tuple[_Claim, ...]
    published: _PublishedScore | None = None
    subject: _String = ""
    classes: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None
    input: _Size | None = None
    revision: _String = ""
    digest: _Digest | None = None
    subsets: tuple[_String, ...] = ()
    released: _Day | None = None
    version: Annotated[int, Field(ge=1, lt=1 << 31)] = 1

    def problems(self) -> Iterator[Violation]:
        segments = self.type is model.ArtifactType.SEGMENTATION_MODEL
        for key in ("classes", "input") if not segments else ("subsets",):
            if getattr(self, key):
                yield key, f"a {self.type.value} has none; take it out"
        if not segments and self.subject not in ("", self.id):
            problem = f"what is no segmentation model is measured under its own id, {self.id!r}: "
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
                self.classes or 0, self.input, self.revision, self.digest or "", self.subsets
            ),
            released=self.released,
            version=self.version,
        )


class _Page(_Part):
    kind: Literal["page"]
    schema_: Literal[1] = Field(alias="schema")
    id: _Id
    name: _String
    description: _String
    compares: _Strings = ()
    printed: Mapping[str, Mapping[str, _Number]] = Field(default_factory=dict)
    claims: tuple[_PageClaim, ...]
    source: _Source | None = None
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


class _Withdrawal(_Part):
    kind: Literal["withdrawal"]
    schema_: Literal[1] = Field(alias="schema")
    id: _Id
    reason: _String
    version: Annotated[int, Field(ge=2, lt=1 << 31)]

    def entry(self, digest: str) -> model.Withdrawal:
        return model.Withdrawal(self.id, self.version, self.reason, digest)
