"""Which measured numbers stand beside each other, and what is told where one does not."""

from __future__ import annotations

from assay_rpc.ranker.v1 import artifact_pb2, claim_pb2, compare_pb2, evidence_pb2

from services.ranker.web.measured import Cell, rows
from services.ranker.web.values import spread

MODEL, DATASET = artifact_pb2.ARTIFACT_TYPE_SEGMENTATION_MODEL, artifact_pb2.ARTIFACT_TYPE_DATASET


def claim(
    group: str, number: float, unit: str = "s", *, comparator: str = ""
) -> evidence_pb2.ClaimVerdict:
    return evidence_pb2.ClaimVerdict(
        claim=claim_pb2.Claim(
            group=group, comparator=claim_pb2.Comparator(name=comparator) if comparator else None
        ),
        evidence=evidence_pb2.Evidence(
            basis=evidence_pb2.BASIS_MEASURED,
            relation=evidence_pb2.SUBJECT_RELATION_SAME_ARCHITECTURE_RANDOM_WEIGHTS,
            value=evidence_pb2.Value(number=number, unit=unit),
        ),
    )


def cited(group: str, number: float, *, why: str = "") -> evidence_pb2.ClaimVerdict:
    verdict = claim(group, number)
    verdict.evidence.basis = evidence_pb2.BASIS_SOURCED
    verdict.evidence.relation = evidence_pb2.SUBJECT_RELATION_EXACT
    if why:
        verdict.not_measured.message = why
    return verdict


def told(
    left: list[evidence_pb2.ClaimVerdict],
    right: list[evidence_pb2.ClaimVerdict],
    kinds: tuple[artifact_pb2.ArtifactType.ValueType, artifact_pb2.ArtifactType.ValueType] = (
        MODEL,
        MODEL,
    ),
) -> dict[str, list[float | str]]:
    """Each fact with its two numbers, or what is told instead of one."""

    def shown(cell: Cell) -> float | str:
        return cell.why if cell.evidence is None else cell.evidence.value.number

    one, other = (
        compare_pb2.ComparedArtifact(artifact=artifact_pb2.Artifact(type=kind), claims=claims)
        for kind, claims in zip(kinds, (left, right), strict=True)
    )
    found = rows(compare_pb2.CompareResponse(left=one, right=other))
    return {", ".join(row.facts): [shown(cell) for cell in row.cells] for row in found}


def test_numbers_that_were_measured_of_both_stand_side_by_side() -> None:
    assert told([claim("latency", 0.1)], [claim("latency", 1.1)]) == {"latency": [0.1, 1.1]}


def test_artifacts_of_different_types_share_no_fact() -> None:
    assert told([claim("size", 1)], [claim("size", 2)], (MODEL, DATASET)) == {}


def test_a_sample_stands_where_the_verdict_rests_on_a_publication() -> None:
    sampled = cited("accuracy", 50.3)
    sampled.sample.CopyFrom(claim("accuracy", 45).evidence)
    assert told([sampled], [claim("accuracy", 37)]) == {"accuracy": [45, 37]}


def test_where_nothing_was_measured_the_cell_says_why() -> None:
    random = cited("accuracy", 50.3, why="random weights alone are served")
    assert told([claim("accuracy", 37)], [random]) == {
        "accuracy": [37, "not measured: random weights alone are served"]
    }
    assert told([random], [random]) == {
        "accuracy": ["not measured: random weights alone are served"] * 2
    }
    assert told([claim("accuracy", 37)], [cited("accuracy", 50.3)]) == {
        "accuracy": [37, "not measured: no method"]
    }
    unverified = evidence_pb2.ClaimVerdict(claim=claim_pb2.Claim(group="accuracy"))
    assert told([unverified], [claim("accuracy", 37)]) == {"accuracy": ["not verified yet", 37]}


def test_facts_that_neither_side_measured_for_one_reason_share_a_row() -> None:
    sides = [
        [cited("accuracy", 50.3, why="not served"), claim("size", 1), cited("widths", 1, why=why)]
        for why in ("not served", "no graph")
    ]
    assert told(sides[0], sides[0]) == {
        "accuracy, widths": ["not measured: not served"] * 2,
        "size": [1, 1],
    }
    assert told(sides[0], sides[1]) == {
        "accuracy": ["not measured: not served"] * 2,
        "size": [1, 1],
        "widths": ["not measured: not served", "not measured: no graph"],
    }


def test_a_stand_in_shows_no_number() -> None:
    stand_in = claim("latency", 88)
    stand_in.evidence.relation = evidence_pb2.SUBJECT_RELATION_PROXY
    assert told([stand_in], [claim("latency", 1)]) == {
        "latency": ["not measured: only a substitute was", 1]
    }


def test_what_is_only_published_or_said_of_one_alone_is_no_row() -> None:
    assert told([cited("pictures", 1)], [cited("pictures", 2)]) == {}
    assert told([claim("latency", 1)], [claim("size", 2)]) == {}


def test_a_ratio_to_another_is_no_fact_of_its_own() -> None:
    rival = claim("latency", 77, comparator="another")
    assert told([rival], [rival]) == {}
    assert told([rival, claim("latency", 1)], [claim("latency", 2)]) == {"latency": [1, 2]}


def test_numbers_of_different_hardware_or_units_are_kept_apart() -> None:
    left, right = claim("latency", 0.1), claim("latency", 1.1)
    for one in (left, right):
        one.evidence.environment.cpu, one.evidence.environment.cpu_count = "a processor", 2
    assert told([left], [right]) == {"latency": [0.1, 1.1]}
    left.evidence.environment.accelerators.add(name="an accelerator")
    assert told([left], [right]) == {
        "latency": [
            "not comparable: measured on 2 x a processor, an accelerator",
            "not comparable: measured on 2 x a processor",
        ]
    }
    assert told([claim("size", 1, "bytes")], [claim("size", 1, "parameters")]) == {
        "size": ["not comparable: measured in bytes", "not comparable: measured in parameters"]
    }


def test_an_interval_that_is_its_point_in_figures_is_not_printed() -> None:
    assert spread(0.151, 0.149, 0.152, 2) == ("0.15", "", "")
    assert spread(0.0, 0.0, -0.0, 1) == ("0.0", "", "")  # no interval from 0.0 to -0.0
    assert spread(0.95, 0.94, 0.95, 2) == ("0.95", "0.94", "0.95")
    assert spread(0.0, 0.0, -0.0, 1) == ("0.0", "", "")
    assert spread(-0.04, -0.06, 0.0, 1) == ("0.0", "-0.1", "0.0")
