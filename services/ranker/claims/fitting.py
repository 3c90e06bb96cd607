"""Whether a claim fits its method: its aspect, kind, unit, type, and a bound that can fail.

Pure. The method overrides the manifest: a claim that fits gets its method's aspect and fact, so
that no author chooses which evidence may decide it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches

from services.errors import Violation, nearest
from services.ranker.claims.bounds import Boolean, Bound, Ratio, Text, numbers_in
from services.ranker.claims.definition import (
    Definition,
    Kind,
    Part,
    Plausible,
    cannot_fail,
    cannot_hold,
    fact_of,
    guess,
)
from services.ranker.claims.model import Artifact, ArtifactType, Claim, Configuration
from services.ranker.claims.units import factor

_SHOWN = 3
_ALIKE = 0.7  # similarity of names of methods that measure the same for two types


def fitted(
    claim: Claim, artifacts: Mapping[str, Artifact], definitions: Mapping[str, Definition]
) -> Claim:
    """Return the claim with its method's settings; unchanged without a known method.

    A manifest written for an earlier version of a method is observed by the present one.
    """
    method = _current(claim.method, definitions)
    definition = definitions.get(method)
    if definition is None:
        return claim
    return replace(
        claim,
        method=method,
        aspect=definition.aspect or claim.aspect,
        group=fact_of(claim, definition) or claim.group,
        guess=guess(claim, definition),
        sample_decides=definition.sample_decides,
        machine=definition.machine,
        configuration=_configuration(claim, artifacts, definition),
    )


def _configuration(
    claim: Claim, artifacts: Mapping[str, Artifact], definition: Definition
) -> dict[str, object]:
    """What a method must find, as JSON; empty for a method that measures nothing."""
    about = artifacts.get(claim.artifact)
    if about is None or about.type not in definition.types:
        return {}
    stated = about.configuration
    parts: dict[Part, object] = {
        Part.ARCHITECTURE: about.subject,
        Part.CLASSES: stated.classes,
        Part.INPUT: list(stated.input or ()),
    }
    depends = {part.name.lower(): parts[part] for part in parts if part in definition.depends_on}
    found: dict[str, object] = {**depends, "digest": stated.digest, "subsets": list(stated.subsets)}
    found["files"] = dict(stated.files)
    if about.type is not ArtifactType.SEGMENTATION_MODEL or Part.WEIGHTS in definition.depends_on:
        # An earlier rule measured whatever had the claim's name: that does not apply to the claim.
        found["known_by"] = next((key for key in ("digest", "files") if found[key]), "nothing")
    found["dataset_digest"] = claim.dataset_digest
    if definition.ceiling and claim.bound is not None:  # what is observed depends on it
        found["bound"] = repr(claim.bound)
    if definition.dataset or definition.compares:  # it is of these, too
        found["fact"] = fact_of(claim, definition)
        # Several names give one fact, and a name means another thing when it is registered again.
        found["subset"] = claim.subset
        for name in filter(None, (claim.dataset, claim.rival)):
            stated = artifacts[name].configuration if name in artifacts else Configuration()
            known = {"digest": stated.digest, "files": dict(stated.files)}
            found[f"of {name}"] = {key: one for key, one in known.items() if one} or "its name"
    return {name: value for name, value in found.items() if value}


def problems(
    claim: Claim,
    about: ArtifactType | None,
    definitions: Mapping[str, Definition],
    rival: ArtifactType | None = None,
    size: tuple[int, int] | None = None,
) -> Iterator[Violation]:
    """Yield what does not fit its method in a claim about an artifact of a type.

    Each problem is a key of the claim and the remedy. Without a type, the claim is about a page.
    `rival` is the type of its comparator, if registered, `size` the artifact's input.
    """
    if not claim.method:
        return
    definition = definitions.get(_current(claim.method, definitions))
    if definition is None:
        yield "method", f"no method {claim.method!r}; {_offered(claim, about, definitions)}"
        return
    if definition.types and about not in definition.types:
        measured = " or ".join(sorted(map(_readable, definition.types)))
        other = _of_its_type(claim, about, definitions)
        yield "method", f"{claim.method} measures a {measured}; {other}"
        return
    if rival and definition.types and rival not in definition.types:
        measured = " or ".join(sorted(map(_readable, definition.types)))
        problem = (
            f"{claim.rival} is a {_readable(rival)}, and {claim.method} measures a {measured}: "
            "nothing measures both; take `method` out, and say so under `undecidable`"
        )
        yield "comparator.artifact", problem
        return
    yield from _scope_problems(claim, definition)
    yield from _statement_problems(claim, definition)
    yield from _size_problems(claim, definition, size)
    if claim.stated_aspect and definition.aspect and claim.stated_aspect is not definition.aspect:
        yield "aspect", f"{claim.method} is of {definition.aspect.value!r}; write that, or nothing"
    fact = fact_of(claim, definition)
    if claim.stated_group and fact and claim.stated_group != fact:
        yield "group", f"{claim.method} is about {fact!r} here; write that, or nothing"
    if claim.bound is not None and definition.kind is not Kind.ANY:
        yield from _bound_problems(claim, claim.bound, definition)


def _current(method: str, definitions: Mapping[str, Definition]) -> str:
    """Return the method, or its latest version if that version no longer exists."""
    name, _, version = method.partition("@")
    if method in definitions or not (version.isascii() and version.isdecimal()):
        return method
    known = (one.partition("@") for one in definitions)
    later = [int(one) for other, _, one in known if other == name and int(one) > int(version)]
    return f"{name}@{max(later)}" if later else method


def _scope_problems(claim: Claim, definition: Definition) -> Iterator[Violation]:
    """Errors in a figure's scope besides the artifact: a corpus, another artifact."""
    if definition.dataset and not claim.dataset:
        yield "dataset", "is missing: the corpus that it is measured on"
    elif claim.dataset and not definition.dataset and definition.kind is not Kind.ANY:
        yield "dataset", f"{claim.method} takes none; take it out"
    if definition.compares and claim.rival and claim.rival == claim.artifact:
        yield "comparator.artifact", "is the artifact itself; name another"
    elif definition.compares and not claim.rival:
        yield "comparator.artifact", "is missing: the id of the other artifact"
    elif claim.comparator and not definition.compares and definition.types:
        against = definition.against
        if against is None:
            yield "comparator", f"{claim.method} compares with nothing; take it out"
        elif not against.is_named(claim.comparator, claim.rival):
            yield "comparator", f"{claim.method} compares with {against.what} alone; write that"
    if claim.subset and not claim.dataset:
        yield "subset", "is of a corpus: name it as `dataset`"


def _statement_problems(claim: Claim, definition: Definition) -> Iterator[Violation]:
    """Errors of a statement about a figure other than the measured one."""
    if claim.undecidable or not definition.other:
        return
    told = rf"\b({'|'.join(definition.other)})[^\W_]*"
    # After a comma, a part may follow the whole: "85 million parameters, 81 in the encoder".
    first = re.split(r"[,;:(]\s", claim.statement)[0]
    if found := re.search(told, first, re.IGNORECASE):
        told = f"says {found[0]!r}, which is not what {claim.method} measures: claim what it does, "
        yield "statement", told + "or take `method` out and say `undecidable`: nothing measures it"


def _size_problems(
    claim: Claim, definition: Definition, size: tuple[int, int] | None
) -> Iterator[Violation]:
    """Errors of a size in the scope that differs from the measured size."""
    if Part.INPUT not in definition.depends_on or size is None or claim.undecidable:
        return
    for height, width in _SIZE.findall(claim.scope):
        if {int(height), int(width)} != set(size):
            measured = f"{size[0]}x{size[1]}, the manifest's `input`"
            problem = f"says {height}x{width}, and {claim.method} is measured at {measured}"
            yield "scope", f"{problem}: register what takes the other size as its own artifact"


_SIZE = re.compile(r"\b(\d{2,5}) ?[x\u00d7] ?(\d{2,5})\b")


def _bound_problems(claim: Claim, bound: Bound, definition: Definition) -> Iterator[Violation]:
    kind = Kind.TEXT if isinstance(bound, Text) else Kind.NUMBER
    kind = Kind.BOOLEAN if isinstance(bound, Boolean) else kind
    if kind is not definition.kind:
        gives = f"{claim.method} gives {definition.kind.value}, never {kind.value}"
        unit = f" with unit: {definition.unit}" if definition.unit else ""
        yield "bound", f"{gives}: write {_keys(definition.kind)}{unit}"
    elif isinstance(bound, Text):
        yield from _row_problems(claim, bound, definition)
    elif not isinstance(bound, Text | Boolean) and bound.unit != definition.unit:
        by = factor(definition.unit, bound.unit)
        hint = f": 1 {definition.unit} is {by:,.6g} {bound.unit}" if by else ""
        yield "bound.unit", f"{claim.method} gives {definition.unit!r}, not {bound.unit!r}{hint}"
    elif cannot_fail(bound, definition):
        yield "bound", f"nothing can fail it: {_expected(definition)}; say what would not hold"
    elif cannot_hold(bound, definition):
        yield "bound", f"nothing can meet it: {claim.method} gives {_possible(definition)}"
    if isinstance(bound, Ratio) and definition.unit != "1":
        yield (
            "bound.ratio",
            f"{claim.method} gives {definition.unit!r} of one artifact, no ratio to another",
        )


def _row_problems(claim: Claim, bound: Text, definition: Definition) -> Iterator[Violation]:
    """Errors of a text in a form other than the method's, which could never match it."""
    row = definition.row
    if row is None:
        return
    count = len(numbers_in(bound.value))
    if not count or (row.count and count != row.count):
        wanted = f"{row.count} numbers" if row.count else "numbers"
        yield "bound.text", f"{claim.method} gives {wanted} in a row, as {row.example}; write that"


def _keys(kind: Kind) -> str:
    return {Kind.TEXT: "`text`", Kind.BOOLEAN: "`boolean`"}.get(kind, "`equals` or `range`")


def _expected(definition: Definition) -> str:
    chance = definition.chance
    assert isinstance(chance, Plausible)  # noqa: S101  (only called of a bound with numbers)
    return (
        f"from {chance.low:g} to {chance.high:g} {definition.unit} is what anything of its type "
        "may have"
    )


def _possible(definition: Definition) -> str:
    chance = definition.chance
    assert isinstance(chance, Plausible)  # noqa: S101  (only called of a bound with numbers)
    if math.isinf(chance.most):
        return f"{chance.least:g} {definition.unit} or more"
    return f"{chance.least:g} to {chance.most:g} {definition.unit}"


def _offered(
    claim: Claim, about: ArtifactType | None, definitions: Mapping[str, Definition]
) -> str:
    """Methods that may be meant: the nearest, or else all for its type."""
    fit = [name for name, one in definitions.items() if not one.types or about in one.types]
    near = nearest(claim.method, fit)
    if near:
        return f"did you mean {', '.join(near)}?"
    return f"of a {_readable(about)} there are {', '.join(sorted(fit))}"


def _of_its_type(
    claim: Claim, about: ArtifactType | None, definitions: Mapping[str, Definition]
) -> str:
    """Methods for an artifact's own type that measure what the claim's measures for another."""
    fit = {_last(name): name for name, one in definitions.items() if about in one.types}
    near = get_close_matches(_last(claim.method), sorted(fit), n=_SHOWN, cutoff=_ALIKE)
    if near:
        return f"of a {_readable(about)} take {' or '.join(fit[one] for one in near)}"
    return f"no method measures this of a {_readable(about)}"


def _last(method: str) -> str:
    return method.partition("@")[0].rpartition(".")[2]


def _readable(about: ArtifactType | None) -> str:
    return {
        ArtifactType.SEGMENTATION_MODEL: "segmentation model",
        ArtifactType.DATASET: "dataset",
        ArtifactType.LANGUAGE_MODEL: "language model",
        None: "page",
    }[about]
