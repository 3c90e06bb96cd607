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

    `patterns` are the ways to score tokens that the counts allow, `folded` whether capital letters
    were lost, `nats` the likelihoods of documents where the published sums are not those;
    `contradicted` is true once something leaves open what the right numbers are.
    """

    evidence: Evidence
    findings: list[Finding] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    patterns: tuple[Pattern, ...] = ()
    folded: bool = False
    nats: dict[int, float] = field(default_factory=dict)
    contradicted: bool = False

    @property
    def record(self) -> Record:
        """The record."""
        return self.evidence.record

    @property
    def pattern(self) -> Pattern | None:
        """Which tokens were scored, None if nothing tells."""
        return self.patterns[0] if self.patterns else None

    @property
    def correctable(self) -> bool:
        """Whether it is known what the right numbers are."""
        return not self.contradicted and len(self.patterns) < 2

    def resolve(self, pattern: Pattern) -> None:
        """Settle which tokens were scored, and take back what was said of their number."""
        suspected = {mistake for one in self.patterns for mistake in one.mistakes}
        self.findings = [
            one for one in self.findings if not one.mistakes or set(one.mistakes) - suspected
        ]
        self.patterns = (pattern,)

    def accuse(self, mistakes: Iterable[Mistake], detail: str) -> None:
        """Note a contradiction and what explains it; each mistake once."""
        named = tuple(dict.fromkeys(mistakes))
        if not named or all(named != finding.mistakes for finding in self.findings):
            self.findings.append(Finding(named, detail))

    def contradict(self, detail: str) -> None:
        """Note a contradiction that leaves open what the right numbers are."""
        self.contradicted = True
        self.accuse((), detail)
