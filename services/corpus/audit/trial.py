"""The state of an audit of a record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.corpus.audit.evidence import Evidence
from services.corpus.audit.record import Record
from services.corpus.audit.scored_tokens import Pattern
from services.corpus.audit.verdict import Finding, Mistake


@dataclass
class Trial:
    """One record's evidence, and the findings so far.

    `patterns` are the ways to score tokens that fit the counts, `folded` says whether capital
    letters were lost, `nats` has the likelihoods of documents whose published sums differ from
    them; `contradicted` is true once a contradiction leaves the right numbers unknown.
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
        """The pattern of scored tokens; None if unknown."""
        return self.patterns[0] if self.patterns else None

    @property
    def correctable(self) -> bool:
        """Whether the right numbers are known."""
        return not self.contradicted and len(self.patterns) < 2

    def resolve(self, pattern: Pattern) -> None:
        """Settle which tokens were scored, and drop earlier findings about their number."""
        suspected = {mistake for one in self.patterns for mistake in one.mistakes}
        self.findings = [
            one for one in self.findings if not one.mistakes or set(one.mistakes) - suspected
        ]
        self.patterns = (pattern,)

    def accuse(self, mistakes: Iterable[Mistake], detail: str) -> None:
        """Record a contradiction and the mistakes that explain it, each once."""
        named = tuple(dict.fromkeys(mistakes))
        if not named or all(named != finding.mistakes for finding in self.findings):
            self.findings.append(Finding(named, detail))

    def contradict(self, detail: str) -> None:
        """Record a contradiction that leaves the right numbers unknown."""
        self.contradicted = True
        self.accuse((), detail)
