"""A page as its tags and its text, and a comparison with one of everything."""

from __future__ import annotations

from html.parser import HTMLParser

from assay_rpc.common.v1 import common_pb2
from assay_rpc.ranker.v1 import artifact_pb2, claim_pb2, compare_pb2, evidence_pb2, score_pb2

VOID = {"meta", "br", "img", "line", "path", "rect", "circle", "link", "input"}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></script></td>&amp;",
    "{{ 7 * 7 }}",
    "' onmouseover='alert(1)",
)


class Checked(HTMLParser):
    """Fails on tags that are not closed in order; keeps every tag and the text that is shown."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.shown = ""
        self.feed(page)
        self.close()
        assert self.open == []
        self.text = " ".join(self.shown.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.shown += data

    def values(self, attribute: str) -> list[str]:
        return [str(found[attribute]) for _, found in self.tags if found.get(attribute)]


def reply(text: str = "text") -> compare_pb2.CompareResponse:
    """A comparison with one of everything, every text the given one."""
    evidence = evidence_pb2.Evidence(
        digest="sha256:e",
        claim="C1",
        value=evidence_pb2.Value(number=2, unit=text),
        interval=common_pb2.Interval(low=1, high=3, level=0.99),
        n=7,
        sources=[claim_pb2.Source(title=text, url=text)],
        command=text,
        note=text,
        parts=[
            evidence_pb2.Part(name=text, value=1.5),
            evidence_pb2.Part(name="Pile-CC", value=0.9),
        ],
    )

    def claim(name: str, other: str) -> evidence_pb2.ClaimVerdict:
        return evidence_pb2.ClaimVerdict(
            claim=claim_pb2.Claim(
                id=name, artifact="a", statement=text, contradicts=[f"a/{other}"]
            ),
            verdict=evidence_pb2.VERDICT_REFUTED,
            basis=evidence_pb2.BASIS_MEASURED,
            evidence=evidence,
            sample=evidence_pb2.Evidence(
                value=evidence_pb2.Value(number=45, unit=text),
                relation=evidence_pb2.SUBJECT_RELATION_SAMPLE,
                n=5,
                note=text,
            ),
            reason=text,
            contradicts=[f"a/{other}"],
        )

    component = score_pb2.Component(
        name="quality", weight=1, low=0.2, point=0.5, high=0.7, coverage=0.5, explanation=text
    )
    score = score_pb2.Score(low=20, point=50, high=70, coverage=0.5, components=[component])
    side = compare_pb2.ComparedArtifact(
        artifact=artifact_pb2.Artifact(
            id="a",
            type=artifact_pb2.ARTIFACT_TYPE_DATASET,
            license=common_pb2.License(name=text),
            pricing=text,
            capabilities=[artifact_pb2.Capability(id="c", name=text, description=text)],
            published=[
                artifact_pb2.PublishedScore(value=42, printed_components={text: 1}, remark=text)
            ],
        ),
        score=score,
        claims=[claim("C1", "C2"), claim("C2", "C1")],
        matches=score_pb2.MatchCounts(matched=3, reported=2, succeeded=1),
    )
    return compare_pb2.CompareResponse(
        left=side,
        right=side,
        components=[
            compare_pb2.ComponentComparison(
                component="quality",
                separation=compare_pb2.SEPARATION_NOT_SEPARABLE,
                missing=[compare_pb2.MissingEvidence(what=text)],
            )
        ],
        summary=text,
        pages=[
            compare_pb2.PageVerdicts(
                page=artifact_pb2.Page(id="p", name=text), claims=[claim("R1", "")]
            )
        ],
        methodology=score_pb2.MethodologyRef(version="v1", digest="sha256:m"),
        as_of="2026-01-15",
    )
