"""The registered artifacts and the pages about them, read once from manifests.

The registry checks what one manifest alone cannot show: ids that are unique over all manifests
(claim ids are unique within a manifest), methods that exist, contradictions that name known claims,
pages that compare known artifacts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from importlib.resources import files
from itertools import chain, islice
from pathlib import Path

from services.common.yaml_text import parse_yaml
from services.errors import InvalidArgument, NotFound, Violation, nearest
from services.ranker.claims import facts, fitting
from services.ranker.claims.definition import Definition
from services.ranker.claims.manifest import parse, readable_claims
from services.ranker.claims.model import Artifact, ArtifactType, Claim, Page, Withdrawal, reference

# Most errors of one manifest: each suggests names, which takes time, and a manifest of 64 KiB can
# contain thousands.
_MOST_PROBLEMS = 100


@dataclass(frozen=True)
class Withdrawn:
    """A withdrawn thing: since when, why, and by whose word (empty: unknown)."""

    entry: Artifact | Page
    withdrawal: Withdrawal
    time: datetime
    by: str = ""


class Registry:
    """Artifacts, pages and claims by id. Changed only by registering or withdrawing, atomically."""

    def __init__(
        self,
        entries: Iterable[Artifact | Page],
        methods: Mapping[str, Definition],
        withdrawn: Mapping[str, Withdrawn] | None = None,
    ) -> None:
        """Raise `InvalidArgument` if the manifests do not fit together.

        `methods` are the existing ones, by "name@version", each with its figure's definition.
        `withdrawn` are things that entries may still name although they no longer count.
        """
        self._methods = dict(methods)
        self.revision = 0
        """Changes with every change of the registry."""
        self._withdrawn: dict[str, Withdrawn] = dict(withdrawn or {})
        self._registered_by: dict[str, str] = {}
        self._left_out: dict[str, str] = {}
        given = tuple(entries)
        self._packaged = frozenset(entry.id for entry in given)
        self._load(given)

    def register(self, entry: Artifact | Page, by: str = "") -> None:
        """Add an artifact or a page, or replace it with a new version, for the identity `by`.

        Raises `InvalidArgument`, and changes nothing, if it does not fit with the others.
        """
        self.accepts(entry)
        self._withdrawn.pop(entry.id, None)
        self._left_out.pop(entry.id, None)
        self._load((*self._without(entry.id), entry))
        self._registered_by[entry.id] = by

    def register_together(self, entries: Iterable[tuple[Artifact | Page, str]]) -> None:
        """Register entries that name one another, each for an identity, as `register` does one.

        Raises `InvalidArgument`, and changes nothing, when they do not fit with the others.
        """
        given = {entry.id: (entry, by) for entry, by in entries}
        rest = [one for one in self._entries if one.id not in given]
        together = (*rest, *(entry for entry, _ in given.values()))
        left = {name: one for name, one in self._withdrawn.items() if name not in given}
        Registry(together, self._methods, left)
        self._withdrawn = left
        for name in given:
            self._left_out.pop(name, None)
        self._load(together)
        self._registered_by |= {name: by for name, (_, by) in given.items()}

    def registered_by(self, name: str) -> str:
        """Return who registered the present version, or the last one that counted.

        Empty for what comes with the ranker, and if no identity is known.
        """
        return self._registered_by.get(name, "")

    def withdraw(self, withdrawal: Withdrawal, time: datetime, by: str = "") -> None:
        """Stop counting an artifact or a page. Everything made with it stays.

        Things that name it stay too, or anybody could prevent a withdrawal: claims about it or
        against it are no longer measured. Raises `NotFound` if it is not registered.
        """
        self.releases(withdrawal)
        before = self._withdrawn.get(withdrawal.id)
        entry = before.entry if before else self.subject(withdrawal.id)
        self._withdrawn[withdrawal.id] = Withdrawn(entry, withdrawal, time, by)
        self._load(self._without(withdrawal.id))

    def releases(self, withdrawal: Withdrawal) -> None:
        """Raise the errors that `withdraw` would."""
        if withdrawal.id not in self._withdrawn:
            self.subject(withdrawal.id)

    def withdrawn(self, name: str) -> Withdrawn | None:
        """Return what was withdrawn under a name and not registered again, or None."""
        return self._withdrawn.get(name)

    def accepts(self, entry: Artifact | Page) -> Artifact | Page:
        """Return an artifact or a page as it would be registered, with its methods' settings.

        Raises `InvalidArgument` with up to 100 reasons if it does not fit with the others.
        """
        before = next((one for one in self._entries if one.id == entry.id), None)
        before = self._withdrawn[entry.id].entry if entry.id in self._withdrawn else before
        if before is not None and _kind(before) != _kind(entry):
            problem = f"{entry.id} is {_kind(before)}, and {_kind(entry)} needs an id of its own"
            raise InvalidArgument(f"{entry.id}.id", problem)
        left = {name: one for name, one in self._withdrawn.items() if name != entry.id}
        return Registry([*self._without(entry.id), entry], self._methods, left).subject(entry.id)

    def problems_beside(self, text: bytes, name: str) -> tuple[Violation, ...]:
        """Return what does not fit its method in a manifest that cannot be read as a whole.

        Checks claims that are valid on their own, of artifacts whose type is valid; the first 100.
        """
        try:
            document = _document(text, name)
        except InvalidArgument:
            return ()
        if not isinstance(document, Mapping):
            return ()
        types = {one.value: one for one in ArtifactType}
        own = types.get(str(document.get("type")))
        if own is None and document.get("kind") != "page":
            return ()
        found = (
            (f"{name}.claims[{claim.id}].{key}", problem)
            for claim in readable_claims(document)
            if (about := self._about(claim.artifact, own)) or not claim.artifact
            for key, problem in fitting.problems(claim, about, self._methods)
        )
        return tuple(islice(found, _MOST_PROBLEMS))

    def _about(self, artifact: str, own: ArtifactType | None) -> ArtifactType | None:
        found = self._artifacts.get(artifact)
        return found.type if found else own

    def is_packaged(self, claim: Claim) -> bool:
        """Whether a claim comes with the ranker, and so is known by its id alone."""
        return claim.owner in self._packaged

    def stored_names(self, claim: Claim) -> tuple[str, ...]:
        """Return the names under which a claim's evidence is stored: "OWNER/ID", or an old id.

        Ids were once unique over all owners. A new owner may reuse one, so only claims that come
        with the ranker are still found by their id.
        """
        if self.is_packaged(claim):
            return claim.reference, claim.id
        return (claim.reference,)

    def _without(self, name: str) -> tuple[Artifact | Page, ...]:
        return tuple(entry for entry in self._entries if entry.id != name)

    def _load(self, given: tuple[Artifact | Page, ...]) -> None:
        _check_ids(given)
        gone = (one.entry for one in self._withdrawn.values())
        artifacts = {one.id: one for one in (*gone, *given) if isinstance(one, Artifact)}
        entries = _with_mutual_contradictions(self._fitted(one, artifacts) for one in given)
        self._entries = given
        self.revision += 1
        self._artifacts = {entry.id: entry for entry in entries if isinstance(entry, Artifact)}
        self._pages = {entry.id: entry for entry in entries if isinstance(entry, Page)}
        self._claims = {claim.reference: claim for entry in entries for claim in entry.claims}
        found = chain(self._claim_problems(artifacts), self._page_problems(artifacts))
        problems = tuple(islice(found, _MOST_PROBLEMS))
        if problems:
            raise InvalidArgument(*problems[0], *problems[1:])

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """Every artifact, by id."""
        return tuple(self._artifacts[name] for name in sorted(self._artifacts))

    @property
    def pages(self) -> tuple[Page, ...]:
        """Every page, by id."""
        return tuple(self._pages[name] for name in sorted(self._pages))

    @property
    def claims(self) -> Mapping[str, Claim]:
        """Every claim of every artifact and page, by "OWNER/ID"."""
        return dict(self._claims)

    def artifact(self, name: str) -> Artifact:
        """Return the artifact; raise `NotFound` that names the known ones."""
        if name not in self._artifacts:
            raise NotFound("artifact", name, self._artifacts, hint=self.aside(name))
        return self._artifacts[name]

    def find(self, name: str) -> Artifact | None:
        """Return the artifact of that name, or None."""
        return self._artifacts.get(name)

    def aside(self, name: str) -> str:
        """Return when and why something was withdrawn or left out; empty if it was not."""
        found = self._withdrawn.get(name)
        if found:
            return f"withdrawn on {found.time.date()}: {found.withdrawal.reason}"
        problem = self._left_out.get(name, "")
        return f"left out, since its manifest no longer fits: {problem}" if problem else ""

    def leave_out(self, name: str, problem: str) -> None:
        """Remember why a manifest that was registered before is not accepted now."""
        self._left_out[name] = problem

    def subject(self, name: str) -> Artifact | Page:
        """Return the artifact or page whose claims are filed under `name`, or raise `NotFound`."""
        if name in self._pages:
            return self._pages[name]
        if name not in self._artifacts:
            known = [*self._artifacts, *self._pages]
            raise NotFound("artifact", name, known, hint=self.aside(name))
        return self._artifacts[name]

    def page(self, name: str) -> Page:
        """Return the page; raise `NotFound` that names the known ones."""
        if name not in self._pages:
            raise NotFound("page", name, self._pages, hint=self.aside(name))
        return self._pages[name]

    def claim(self, name: str) -> Claim:
        """Return the claim that "OWNER/ID" names, or raise `NotFound`."""
        if name not in self._claims:
            owner, _, claim = name.rpartition("/")
            known = [one.id for one in self.subject(owner).claims]
            raise NotFound(f"claim of {owner}", claim, known)
        return self._claims[name]

    def claimed_of(self, artifact: str) -> tuple[Claim, ...]:
        """Return what registered pages claim of an artifact, by page."""
        return tuple(
            claim for page in self.pages for claim in page.claims if claim.artifact == artifact
        )

    def pages_of(self, left: str, right: str) -> tuple[Page, ...]:
        """Return the pages that compare the two artifacts, in either order, by id."""
        return tuple(page for page in self.pages if {left, right} <= set(page.compares))

    def page_about(self, artifact: str) -> Page | None:
        """Return the first page that compares the artifact with another, or None."""
        return next((page for page in self.pages if artifact in page.compares), None)

    def _fitted(self, entry: Artifact | Page, artifacts: Mapping[str, Artifact]) -> Artifact | Page:
        claims = tuple(fitting.fitted(one, artifacts, self._methods) for one in entry.claims)
        return replace(entry, claims=claims)

    def _claim_problems(self, known: Mapping[str, Artifact]) -> Iterator[Violation]:
        for claim in self._claims.values():
            where = f"{claim.owner}.claims[{claim.id}]"
            about = known.get(claim.artifact)
            for key, name in (("artifact", claim.artifact), ("comparator.artifact", claim.rival)):
                if name and name not in known:
                    yield f"{where}.{key}", self._unknown(name)
            if claim.artifact and about is None:
                continue
            rival = known.get(claim.rival)
            types = (about.type if about else None), (rival.type if rival else None)
            size = about.configuration.input if about else None
            fits = fitting.problems(claim, types[0], self._methods, types[1], size)
            yield from ((f"{where}.{key}", problem) for key, problem in fits)
            for other in claim.contradicts:
                named = reference(claim.owner, other)
                if named == claim.reference or named not in self._claims:
                    yield f"{where}.contradicts", f"{other!r} is not the id of another claim"
                elif self._claims[named].owner != claim.owner:
                    owner = self._claims[named].owner
                    problem = f"{other!r} is {owner}'s; name claims of your own"
                    yield f"{where}.contradicts", problem

    def _page_problems(self, known: Mapping[str, Artifact]) -> Iterator[Violation]:
        for page in self._pages.values():
            for key, names in (("compares", page.compares), ("printed", page.printed)):
                for name in names:
                    if name not in known:
                        yield f"{page.id}.{key}", self._unknown(name)

    def _unknown(self, name: str) -> str:
        near = nearest(name, self._artifacts)
        hint = f"did you mean {', '.join(near)}?" if near else ""
        return f"no artifact {name!r}; {hint or 'known: ' + ', '.join(sorted(self._artifacts))}"


def _kind(entry: Artifact | Page) -> str:
    return "a page" if isinstance(entry, Page) else f"a {entry.type.value}"


def _check_ids(entries: Iterable[Artifact | Page]) -> None:
    owners: set[str] = set()
    for entry in entries:
        if entry.id in owners:
            raise InvalidArgument(entry.id, "two manifests have this id; ids are unique")
        owners.add(entry.id)
        claims: set[str] = set()
        for claim in entry.claims:
            if claim.id in claims:
                problem = "appears twice; claim ids are unique in a manifest"
                raise InvalidArgument(f"{entry.id}.claims[{claim.id}]", problem)
            claims.add(claim.id)


def _with_mutual_contradictions(
    entries: Iterable[Artifact | Page],
) -> tuple[Artifact | Page, ...]:
    """Make contradictions mutual within a manifest, so that stating one side is enough.

    No manifest changes another: contradictions with claims of other manifests are refused.
    """
    return tuple(replace(one, claims=_mutual(one.claims)) for one in entries)


def _mutual(claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
    against = {claim.id: set(claim.contradicts) for claim in claims}
    for claim in claims:
        for other in claim.contradicts:
            if other in against:
                against[other].add(claim.id)
    return tuple(replace(one, contradicts=tuple(sorted(against[one.id]))) for one in claims)


def read_manifest(path: Path) -> Artifact | Page | Withdrawal:
    """Read one manifest file. Raises `InvalidArgument`, for broken YAML too."""
    return parse_text(path.read_bytes(), path.name)


def parse_text(text: bytes, name: str) -> Artifact | Page | Withdrawal:
    """Parse one manifest from its bytes. Raises `InvalidArgument`."""
    return parse(_document(text, name), name)


def _document(text: bytes, name: str) -> object:
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise InvalidArgument(name, f"not YAML: {error}") from error


def packaged(methods: Mapping[str, Definition]) -> Registry:
    """The registry of the manifests that come with the ranker."""
    return Registry(_packaged_entries(), methods)


@cache
def _packaged_entries() -> tuple[Artifact | Page, ...]:
    """The manifests that come with the ranker. Read once: they never change."""
    folder = files("services.ranker") / "manifests"
    manifests = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".yaml")),
        key=lambda entry: entry.name,
    )
    published = facts.packaged()
    entries = [parse_text(one.read_bytes(), one.name) for one in manifests]
    return tuple(
        _with_sources(one, published) for one in entries if not isinstance(one, Withdrawal)
    )


def _with_sources(entry: Artifact | Page, published: facts.Facts) -> Artifact | Page:
    """Give each claim its published values; claims that come with the ranker have unique ids."""
    claims = (replace(one, sources=published.sources(one.id)) for one in entry.claims)
    return replace(entry, claims=tuple(claims))
