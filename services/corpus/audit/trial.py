"""What is known of a record while it is tried."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.corpus.audit.evidence import Evidence
from services.corpus.audit.record import Record
from services.corpus.audit.scored_tokens import Pattern
from services.corpus.audit.verdict import Finding, Mistake


@dataclass
class Trial:
    """One record's evidence and what was found in it so far.

    `pattern` is which tokens were scored, `folded` whether capital letters were lost, `nats` the
    likelihoods of documents where the published sums are not those; `correctable` is false once a
    contradiction leaves open what the right numbers are.
    """

    evidence: Evidence
    findings: list[Finding] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    pattern: Pattern | None = None
    folded: bool = False
    nats: dict[int, float] = field(default_factory=dict)
    correctable: bool = True

    @property
    def record(self) -> Record:
        """The record."""
        return self.evidence.record

    def accuse(self, mistakes: Iterable[Mistake], detail: str) -> None:
        """Note a contradiction and what explains it; each mistake once."""
        named = tuple(dict.fromkeys(mistakes))
        if not named or all(named != finding.mistakes for finding in self.findings):
            self.findings.append(Finding(named, detail))
