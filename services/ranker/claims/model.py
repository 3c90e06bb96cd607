"""What the ranker knows about: artifacts, claims, evidence and verdicts, as plain frozen values.

Pure: no I/O, no gRPC. The names are those of `assay.ranker.v1`; enum values are the wire names
without their prefix, so that JSON and YAML read like the contract. Numbers carry their unit; "1"
is the unit of a pure number. Times are aware datetimes in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cached_property

from services.ranker.claims.bounds import Bound


class ArtifactType(StrEnum):
    """What an artifact is; it decides the weights and the metrics of its score."""

    SEGMENTATION_MODEL = "SEGMENTATION_MODEL"
    DATASET = "DATASET"
    LANGUAGE_MODEL = "LANGUAGE_MODEL"


class Verdict(StrEnum):
    """What became of a claim."""

    CONFIRMED = "CONFIRMED"
    REFUTED = "REFUTED"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_TESTABLE_HERE = "NOT_TESTABLE_HERE"
    UNDERSPECIFIED = "UNDERSPECIFIED"


class Basis(StrEnum):
    """What a piece of evidence rests on."""

    MEASURED = "MEASURED"
    SOURCED = "SOURCED"
    DERIVED = "DERIVED"


STRENGTH = {Basis.MEASURED: 2, Basis.DERIVED: 1, Basis.SOURCED: 0}
"""What counts first where several pieces of evidence speak to one thing: the greater."""


class SubjectRelation(StrEnum):
    """How what was observed relates to what the claim is about."""

    EXACT = "EXACT"
    SAME_ARCHITECTURE_RANDOM_WEIGHTS = "SAME_ARCHITECTURE_RANDOM_WEIGHTS"
    SAMPLE = "SAMPLE"
    PROXY = "PROXY"
    NAMED = "NAMED"  # served under its name, and no digest shows to be it


class Aspect(StrEnum):
    """Which kind of fact a claim is about; it decides which stand-ins may decide the claim."""

    SIZE = "size"  # parameters, counts of modules
    SHAPE = "shape"  # tensors, strides, layers
    SPEED = "speed"  # latency and throughput of a model
    ACCURACY = "accuracy"  # how right the answers are
    STORAGE = "storage"  # format, compression and reading of stored documents
    METRIC = "metric"  # whether a figure of merit can be computed as described
    COMPOSITION = "composition"  # how much of what a whole corpus holds
    PUBLICATION = "publication"  # what was published (configuration included), when, on what terms


@dataclass(frozen=True)
class License:
    """A licence, as data."""

    id: str
    name: str
    url: str = ""
    research_only: bool = False


@dataclass(frozen=True)
class Capability:
    """Something that an artifact can do. Capabilities of one id are one, whichever artifact has it.

    `intents` are wishes that it serves, in words; `best_for`, `limitations` and `requires` its
    conditions; `inputs` and `outputs` kinds of data. Search reads all of them.
    """

    id: str
    name: str
    description: str
    intents: tuple[str, ...] = ()
    best_for: tuple[str, ...] = ()
    limitations: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Undecidable:
    """Why a claim that no method can decide is left undecided: the verdict and its reason."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Cost:
    """Seconds that measuring a claim may take, by budget. 0: nothing is measured."""

    quick: float = 0.0
    full: float = 0.0


class SourceRole(StrEnum):
    """Who says it: which decides whether a source can show that a claim is right."""

    OWN = "OWN"  # the authors' report of their own work: repeats, and never confirms itself
    RECORD = "RECORD"  # the thing itself: a configuration, code, a licence, a listing
    INDEPENDENT = "INDEPENDENT"  # somebody else's measurement


@dataclass(frozen=True)
class Source:
    """Where a figure is printed, and the figure or the alternatives that it allows.

    `locator` is the table, row or section; `date` its day, or as much of it as is known. `values`
    are numbers in `unit`, or in that of the claim's bound where it is empty, `says` is a text or a
    truth. One that is `silent` was read and does not say what is claimed.
    """

    title: str
    locator: str = ""
    url: str = ""
    quote: str = ""
    date: str = ""
    digest: str = ""
    values: tuple[float, ...] = ()
    says: str | bool | None = None
    role: SourceRole = SourceRole.OWN
    unit: str = ""
    silent: bool = False


@dataclass(frozen=True)
class Input:
    """What evidence was computed from.

    `role` is its part in it ("model", "corpus", "images", "manifest") and `name` what to find it
    by; both are empty in what was kept when digests alone were.
    """

    digest: str
    role: str = ""
    name: str = ""


class SourceVerdict(StrEnum):
    """Whether a page repeats its source."""

    UNSPECIFIED = "UNSPECIFIED"
    FAITHFUL = "FAITHFUL"
    MISQUOTED = "MISQUOTED"
    UNSOURCED = "UNSOURCED"


@dataclass(frozen=True)
class Claim:
    """A statement that can be checked, with what would make it true.

    `id` is unique in its manifest. `artifact` is what it is about, empty for a claim of `page`
    about itself. `contradicts` are claims of the same owner, by id. `aspect` and `group`, the fact
    that it is about, are its method's, `stated_aspect` and `stated_group` the manifest's own words;
    `guess` is the chance that a guess of the fact holds, `sample_decides` whether a part of a
    corpus may decide it, and `machine` whether it depends on the hardware and the engine, which
    `hardware` and `engine` name as far as the claim does, as `dataset` and its `subset` do the
    data; `dataset_digest` says which corpus of that name. `method` is the "name@version" that
    observes it, empty when there is none. `undecidable` is set on a claim that no observation
    decides (its comparator is not named, its data are not available); evidence is then shown for
    orientation. `needs` says what it takes to decide the claim by measurement, for the reader of a
    NOT_TESTABLE_HERE. `quote` is what the page says word for word, `source` where it does, and
    `sources` what is cited for it; `declared` says that a manifest that somebody registered quotes
    them, and that nobody has read them here. `comparator` is what it compares with, by name, and
    `rival` the registered artifact that it is. `configuration` is what has to be measured, as far
    as its method depends on it: evidence of another one is not of this claim. `stated_in` are the
    titles and the address of the page that states it.
    """

    id: str
    artifact: str
    statement: str
    aspect: Aspect
    group: str
    bound: Bound | None = None
    method: str = ""
    scope: str = ""
    comparator: str = ""
    contradicts: tuple[str, ...] = ()
    undecidable: Undecidable | None = None
    needs: str = ""
    cost: Cost = field(default_factory=Cost)
    page: str = ""
    stated_aspect: Aspect | None = None
    stated_group: str = ""
    guess: float = 0.0
    sample_decides: bool = False
    machine: bool = False
    hardware: str = ""
    engine: str = ""
    dataset: str = ""
    rival: str = ""
    quote: str = ""
    source: Source | None = None
    sources: tuple[Source, ...] = ()
    declared: bool = False
    configuration: Mapping[str, object] = field(default_factory=dict)
    subset: str = ""
    dataset_digest: str = ""
    stated_in: tuple[str, ...] = ()

    @cached_property
    def owner(self) -> str:
        """Who states it: the page, or else the artifact."""
        return self.page or self.artifact

    @cached_property
    def reference(self) -> str:
        """The claim as "OWNER/ID", which is unique among all."""
        return reference(self.owner, self.id)


def reference(owner: str, claim: str) -> str:
    """Return "OWNER/ID"; the claim alone without an owner, and one that is a reference as it is."""
    return claim if "/" in claim or not owner else f"{owner}/{claim}"


@dataclass(frozen=True)
class PublishedScore:
    """A score out of 100 as a page printed it.

    `printed_components` are the parts as printed: "adoption", "quality", "ecosystem",
    "match_graph", each 0 or 1.
    """

    value: float
    source: str
    printed_components: Mapping[str, int]


@dataclass(frozen=True)
class Configuration:
    """What makes a subject the one that it is, as far as its manifest says so.

    `classes` is 0 and `input` (height, width) None if it does not; `revision` is that of the
    published thing, `digest` "sha256:<hex>" of its file of weights, or of the corpus as served.
    `files` are digests of files by name: of a language model all that its figures depend on, of a
    corpus those that hold documents of it. `subsets` are the names of all that a corpus is made of.
    """

    classes: int = 0
    input: tuple[int, int] | None = None
    revision: str = ""
    digest: str = ""
    subsets: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Artifact:
    """A thing that pages make claims about. `digest` is "sha256:<hex>" of its manifest.

    `released` is the day of its first publication; None when it is not known. `version` counts the
    manifests that were written for it. `subject` is the architecture of a model, and the id of what
    is no segmentation model; with `configuration` it says what has to be measured.
    """

    id: str
    name: str
    type: ArtifactType
    description: str
    license: License
    pricing: str
    capabilities: tuple[Capability, ...]
    claims: tuple[Claim, ...]
    published: PublishedScore | None
    digest: str
    subject: str = ""
    released: date | None = None
    version: int = 1
    configuration: Configuration = field(default_factory=Configuration)


@dataclass(frozen=True)
class Page:
    """A page that compares artifacts, what it claims of them, and what of itself.

    `source` is where it can be read, `printed` holds the page's own figures by artifact id:
    "times_matched", "capabilities".
    """

    id: str
    name: str
    description: str
    compares: tuple[str, ...]
    printed: Mapping[str, Mapping[str, float]]
    claims: tuple[Claim, ...]
    digest: str
    version: int = 1
    source: Source | None = None


@dataclass(frozen=True)
class Withdrawal:
    """That a registered manifest no longer counts, as a later record says. What it led to stays.

    `id` is the artifact's or the page's, `version` counts on from its manifests.
    """

    id: str
    version: int
    reason: str
    digest: str
