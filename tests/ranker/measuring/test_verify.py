"""A verification from plan to last verdict, over peers made by hand."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.cli.commands.ranker import claims
from services.errors import InvalidArgument, NotFound, Unavailable
from services.ranker.claims import facts
from services.ranker.claims.bounds import Value
from services.ranker.claims.findings import ClaimVerdict, Difference, NotMeasured, UnmeasuredReason
from services.ranker.claims.model import Basis, Cost, SourceVerdict, SubjectRelation, Verdict
from services.ranker.claims.registry import packaged
from services.ranker.claims.verdict import judge_stored
from services.ranker.database.evidence_store import EvidenceStore
from services.ranker.database.sqlite import SqliteDatabase
from services.ranker.measuring import methods
from services.ranker.measuring.labelled_images import LabelledImage
from services.ranker.measuring.measurements import Budget
from services.ranker.measuring.methods.registration import Measurement
from services.ranker.measuring.verify import (
    VerificationPlan,
    VerificationProgress,
    Verifier,
    estimate,
)
from tests.ranker.peers_fake import (
    B0,
    B4,
    B4_PUBLISHED,
    B4_RANDOM,
    PICTURES,
    PILE,
    QUIET,
    REFERENCE,
    FakeCorpus,
    FakeSegment,
    changed,
    ref,
    restarts,
    times,
)

REGISTRY = packaged(methods.known())
OWNERS = {claim.id: claim.owner for claim in REGISTRY.claims.values()}
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EvidenceStore]:
    database = SqliteDatabase(tmp_path / "evidence.sqlite")
    await database.open()
    yield EvidenceStore(database)
    await database.close()


def verifier(
    store: EvidenceStore,
    segment: FakeSegment | None = None,
    corpus: FakeCorpus | None = None,
    pictures: Sequence[LabelledImage] = (),
    now: datetime = NOON,
) -> Verifier:
    return Verifier(
        REGISTRY,
        facts.packaged(),
        store,
        segment=segment or FakeSegment(),
        corpus=corpus or FakeCorpus(),
        pictures=pictures,
        now=lambda: now,
    )


async def verdicts(
    asked: Verifier, subject: str, *claims: str, budget: Budget = Budget.QUICK
) -> dict[str, ClaimVerdict]:
    found = {}
    async with aclosing(asked.verify(subject, claims, budget)) as updates:
        async for update in updates:
            if isinstance(update, ClaimVerdict):
                found[update.claim.id] = update
    return found


async def test_the_plan_comes_first_then_a_claim_at_a_time(store: EvidenceStore) -> None:
    updates = [
        update async for update in verifier(store).verify(PILE, ["P4.1", "P1.2"], Budget.QUICK)
    ]
    plan, *rest = updates
    assert plan == VerificationPlan(("P1.2", "P4.1"), 30)
    assert [type(update) for update in rest] == [VerificationProgress, ClaimVerdict] * 2
    assert rest[0] == VerificationProgress("P1.2", "looking up", 0, 2)
    second = rest[2]
    assert isinstance(second, VerificationProgress)
    assert (second.done, second.step) == (1, f"observing {Measurement.STORAGE.value}")


async def test_every_claim_of_the_page_gets_a_verdict(store: EvidenceStore) -> None:
    asked = verifier(store)
    found: dict[str, ClaimVerdict] = {}
    subjects = [one.id for one in REGISTRY.artifacts] + [one.id for one in REGISTRY.pages]
    for subject in subjects:
        found |= await verdicts(asked, subject)
    assert set(found) == {claim.id for claim in REGISTRY.claims.values()}
    decided = {name for name, one in found.items() if one.verdict in ("CONFIRMED", "REFUTED")}
    assert len(decided) >= 34
    for one in found.values():
        assert one.reason
        if one.evidence is not None:
            assert f"--claim {one.claim.id}" in one.evidence.command
            assert one.basis is (one.evidence.basis if one.evidence.value else None)


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ("B1.1", "CONFIRMED"),
        ("B1.2", "CONFIRMED"),
        ("B1.3", "REFUTED"),
        ("B1.4", "NOT_TESTABLE_HERE"),
        ("B1.5", "UNDERSPECIFIED"),
        ("B1.6", "REFUTED"),
        ("B1.7", "REFUTED"),
        ("B2.1", "REFUTED"),
        ("B2.2", "REFUTED"),
        ("B2.3", "UNDERSPECIFIED"),
        ("B3.1", "NOT_TESTABLE_HERE"),
        ("B3.2", "UNDERSPECIFIED"),
        ("B4.1", "CONFIRMED"),
        ("B4.2", "CONFIRMED"),
        ("B4.3", "REFUTED"),
        ("B4.4", "UNDERSPECIFIED"),
        ("B4.6", "CONFIRMED"),
        ("B4.7", "REFUTED"),
        ("B4.8", "UNDERSPECIFIED"),
        ("B5.1", "REFUTED"),
        ("B5.2", "UNDERSPECIFIED"),
        ("B6.1", "REFUTED"),
        ("B6.2", "REFUTED"),
        ("B7.1", "CONFIRMED"),
        ("B7.2", "UNDERSPECIFIED"),
        ("B7.3", "NOT_TESTABLE_HERE"),
        ("B8.1", "CONFIRMED"),
        ("P1.1", "NOT_TESTABLE_HERE"),
        ("P1.2", "NOT_TESTABLE_HERE"),
        ("P1.3", "REFUTED"),
        ("P1.4", "REFUTED"),
        ("P2.1", "CONFIRMED"),
        ("P2.2", "REFUTED"),
        ("P5.1", "REFUTED"),
        ("P7.1", "NOT_TESTABLE_HERE"),
        ("P7.2", "CONFIRMED"),
        ("P8.1", "REFUTED"),
        ("P8.2", "CONFIRMED"),
        ("P0", "REFUTED"),
        ("R1", "UNDERSPECIFIED"),
        ("R2", "UNDERSPECIFIED"),
        ("R3", "REFUTED"),
        ("R4", "CONFIRMED"),
        ("R5", "UNDERSPECIFIED"),
        ("R6", "REFUTED"),
        ("B2.4", "CONFIRMED"),
        ("B3.3", "NOT_TESTABLE_HERE"),
        ("B5.3", "CONFIRMED"),
        ("B5.4", "CONFIRMED"),
        ("B6.4", "CONFIRMED"),
        ("B7.4", "CONFIRMED"),
        ("B8.3", "UNDERSPECIFIED"),
        ("B8.4", "REFUTED"),
        ("B8.5", "REFUTED"),
        ("B8.6", "UNDERSPECIFIED"),
        ("P1.5", "NOT_TESTABLE_HERE"),
        ("P2.3", "CONFIRMED"),
        ("P5.3", "REFUTED"),
        ("P5.4", "REFUTED"),
        ("P5.5", "REFUTED"),
        ("P5.6", "UNDERSPECIFIED"),
        ("P7.3", "REFUTED"),
        ("P8.3", "CONFIRMED"),
        ("R7", "NOT_TESTABLE_HERE"),
    ],
)
@pytest.mark.parametrize("up", [True, False])
async def test_what_is_publicly_known_stands_with_and_without_the_peers(
    store: EvidenceStore, claim: str, verdict: str, up: bool
) -> None:
    down = Unavailable("it cannot be reached")
    asked = (
        verifier(store) if up else verifier(store, FakeSegment(error=down), FakeCorpus(error=down))
    )
    found = await verdicts(asked, OWNERS[claim], claim)
    assert found[claim].verdict == verdict


async def test_claims_that_need_a_peer_say_that_it_is_down(store: EvidenceStore) -> None:
    down = Unavailable("it cannot be reached")
    asked = verifier(store, FakeSegment(error=down), FakeCorpus(error=down))
    found = await verdicts(asked, B4) | await verdicts(asked, PILE)
    for claim in ("B4.5", "P3.1", "P4.1", "P4.2", "P4.3", "P5.2"):
        assert found[claim].verdict is Verdict.NOT_TESTABLE_HERE
        assert "it cannot be reached" in found[claim].reason
        assert "needed to test it" in found[claim].reason


async def test_a_stand_in_never_decides(store: EvidenceStore) -> None:
    asked = verifier(store, FakeSegment((B0,)), FakeCorpus((REFERENCE,)))
    found = await verdicts(asked, B4) | await verdicts(asked, PILE)
    for one in found.values():
        if one.verdict in (Verdict.CONFIRMED, Verdict.REFUTED):
            assert one.evidence is not None
            assert one.evidence.relation is SubjectRelation.EXACT
            assert one.basis is not Basis.MEASURED
    shown = found["P4.2"]
    assert shown.verdict is Verdict.NOT_TESTABLE_HERE
    assert shown.evidence is not None
    assert shown.evidence.value is None
    assert shown.not_measured is not None
    assert shown.not_measured.reason is UnmeasuredReason.NOT_SERVED


async def test_random_weights_show_speed_but_no_accuracy(store: EvidenceStore) -> None:
    found = await verdicts(verifier(store), B4, "B4.5", "B8.2")
    assert found["B4.5"].verdict is Verdict.UNDERSPECIFIED
    assert "on a processor x2 it is 1.01 (from 1.01 to 1.03) s" in found["B4.5"].reason
    assert found["B8.2"].verdict is Verdict.NOT_TESTABLE_HERE
    evidence = found["B4.5"].evidence
    assert evidence is not None
    assert "assay export --architecture b4 --random-weights 0" in evidence.command
    assert evidence.command.endswith("--claim B4.5 --model segformer-b4-random")
    assert evidence.environment["cpu"] == "a processor"


async def stored_verdicts(store: EvidenceStore) -> tuple[ClaimVerdict, ...]:
    """The verdicts on B4's claims by what is stored."""
    claims = REGISTRY.artifact(B4).claims
    evidence, refused = await store.about(claim.reference for claim in claims)
    assert refused == ()
    return judge_stored(claims, evidence, ())


async def test_an_accuracy_of_a_sample_is_kept_beside_the_published_one(
    store: EvidenceStore,
) -> None:
    segment = FakeSegment((B4_PUBLISHED,))
    found = (await verdicts(verifier(store, segment, pictures=PICTURES), B4, "B1.4"))["B1.4"]
    assert found.verdict is Verdict.NOT_TESTABLE_HERE
    assert found.evidence is not None
    assert found.sample is not None
    assert (found.basis, found.evidence.value) == (Basis.SOURCED, Value(50.3, "%"))
    assert (found.sample.basis, found.sample.value) == (Basis.MEASURED, Value(45.0, "%"))
    kept, _ = await store.about([f"{B4}/B1.4"])
    assert {one.digest: one for one in kept} == {
        one.digest: one for one in (found.evidence, found.sample)
    }
    judged = await stored_verdicts(store)
    (stored,) = (one for one in judged if one.claim.id == "B1.4")
    assert (stored.evidence, stored.sample) == (found.evidence, found.sample)
    assert (stored.verdict, stored.reason) == (found.verdict, found.reason)
    # Without the pictures the next time, the citation is the same and the measurement stands.
    again = (await verdicts(verifier(store, segment), B4, "B1.4"))["B1.4"]
    assert again.change is not None
    assert again.change.differences == ()
    assert again.sample is None


async def test_why_nothing_was_measured_is_told_beside_what_is_published(
    store: EvidenceStore,
) -> None:
    random = NotMeasured(
        "the segment service has segformer-b4-random, which differs in weights (random)",
        UnmeasuredReason.OTHER_SUBJECT,
        f"serve it (--model DIR, exported with --name {B4})",
    )
    found = await verdicts(verifier(store, pictures=PICTURES), B4, "B1.4", "B4.1", "B4.4")
    judged = await stored_verdicts(store)
    stored = {one.claim.id: one for one in judged}
    assert stored["B1.4"].not_measured == random
    assert stored["B4.4"].not_measured == NotMeasured(
        "segformer-b4-random is served on a CPU (onnxruntime-cpu)",
        UnmeasuredReason.ENGINE_UNAVAILABLE,
    )
    assert stored["B4.1"].not_measured is None
    assert stored["B1.1"].not_measured is None  # never verified
    for name, one in found.items():
        assert stored[name] == replace(one, change=None)
    # What is measured later makes it moot.
    later = verifier(
        store, FakeSegment((B4_PUBLISHED,)), pictures=PICTURES, now=NOON + timedelta(days=1)
    )
    await verdicts(later, B4, "B1.4")
    judged = await stored_verdicts(store)
    (stood,) = (one for one in judged if one.claim.id == "B1.4")
    assert (stood.not_measured, "not measured" in stood.reason) == (None, False)


async def test_random_weights_have_a_rate_and_no_accuracy(store: EvidenceStore) -> None:
    found = await verdicts(verifier(store, pictures=PICTURES), B4, "S4.1", "B1.4")
    rate = found["S4.1"].evidence
    assert rate is not None
    assert rate.relation is SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS
    assert (rate.basis, rate.value and rate.value.unit) == (Basis.MEASURED, "pictures/s")
    assert "assay export --architecture b4 --random-weights 0" in rate.command
    assert found["S4.1"].verdict is Verdict.UNDERSPECIFIED
    accuracy = found["B1.4"]
    assert accuracy.sample is None
    assert (accuracy.basis, accuracy.verdict) == (Basis.SOURCED, Verdict.NOT_TESTABLE_HERE)


async def test_an_export_checked_on_a_few_inputs_refutes_no_loss_of_accuracy(
    store: EvidenceStore,
) -> None:
    found = await verdicts(verifier(store, FakeSegment((B4_PUBLISHED,))), B4, "B8.2")
    assert found["B8.2"].verdict is Verdict.NOT_TESTABLE_HERE
    assert "only a substitute was observed: 0.001 %; needed to test it" in found["B8.2"].reason


async def test_a_figure_of_other_hardware_is_called_that(store: EvidenceStore) -> None:
    found = await verdicts(verifier(store), B4, "B4.4")
    assert "0.06472 s is published for other hardware" in found["B4.4"].reason
    assert "not measured: segformer-b4-random is served on a CPU" in found["B4.4"].reason


async def test_a_full_run_behind_a_derived_verdict_is_named_in_the_command(
    store: EvidenceStore,
) -> None:
    found = await verdicts(verifier(store), PILE, "P2.1", budget=Budget.FULL)
    assert found["P2.1"].basis is Basis.DERIVED
    assert found["P2.1"].evidence is not None
    assert found["P2.1"].evidence.command.startswith(
        "assay claims the-pile --claim P2.1 --budget full --shards the-pile=DIR"
    )


async def test_what_was_measured_before_stands_when_nothing_is_measured_now(
    store: EvidenceStore,
) -> None:
    first = await verdicts(verifier(store), PILE, "P5.2")
    down = verifier(
        store,
        corpus=FakeCorpus(error=Unavailable("corpus cannot be reached")),
        now=NOON + timedelta(hours=1),
    )
    again = (await verdicts(down, PILE, "P5.2"))["P5.2"]
    assert (again.verdict, again.evidence) == (first["P5.2"].verdict, first["P5.2"].evidence)
    assert again.not_measured


async def test_a_busy_verification_does_not_displace_a_quiet_one(store: EvidenceStore) -> None:
    """One cannot verify until it suits: later restarts are taken together with the first."""
    busy = changed(QUIET, samples=times(*[(9.0,) * 3] * 8), restart_records=restarts(8, others=1))
    for hour, record in enumerate(busy.restart_records):
        record.start_time.FromSeconds(7200 * 1000 + hour)
    quiet = (await verdicts(verifier(store), B4, "B4.5"))["B4.5"].evidence
    later = verifier(store, FakeSegment(figures=busy), now=NOON + timedelta(hours=1))
    again = (await verdicts(later, B4, "B4.5"))["B4.5"].evidence
    assert quiet is not None
    assert again is not None
    assert (again.value, again.interval) == (quiet.value, quiet.interval)
    assert len(again.restarts) == 16
    stored = {one.claim.id: one for one in await stored_verdicts(store)}
    assert stored["B4.5"].evidence == again


async def test_evidence_is_kept_and_repeats_to_itself(store: EvidenceStore) -> None:
    first = await verdicts(verifier(store), PILE, "P4.1")
    again = await verdicts(verifier(store), PILE, "P4.1")
    (change,) = [one.change for one in again.values()]
    assert change is not None
    assert change.differences == ()
    assert first == {name: replace(one, change=None) for name, one in again.items()}
    kept, _ = await store.about([f"{PILE}/P4.1"])
    assert kept == (first["P4.1"].evidence,)


async def test_a_full_budget_is_named_in_the_command(store: EvidenceStore) -> None:
    found = await verdicts(verifier(store), PILE, "P4.1", "P1.2", budget=Budget.FULL)
    measured, cited = found["P4.1"].evidence, found["P1.2"].evidence
    assert measured is not None
    assert cited is not None
    assert measured.command == (
        "assay claims the-pile --claim P4.1 --budget full --shards the-pile=DIR "
        f"--expect the-pile=sha256:{'5a' * 32}"
    )
    assert cited.command == "assay claims the-pile --claim P1.2"


async def test_one_verification_at_a_time(store: EvidenceStore) -> None:
    segment = FakeSegment(hangs=True)
    asked = verifier(store, segment)
    running = asked.verify(B4, ["B4.5"], Budget.QUICK)
    assert isinstance(await anext(running), VerificationPlan)
    next_ = asked.verify("page", [], Budget.QUICK)
    waiting = asyncio.create_task(anext(next_))
    await asyncio.sleep(0)  # it would have its plan by now
    assert not waiting.done()
    await running.aclose()
    assert isinstance(await waiting, VerificationPlan)
    await next_.aclose()
    assert await verdicts(asked, "page")


async def test_closing_ends_the_measurement(store: EvidenceStore) -> None:
    segment = FakeSegment(hangs=True)
    asked = verifier(store, segment)

    async def consume() -> None:
        await verdicts(asked, B4, "B4.5")

    task = asyncio.create_task(consume())
    await segment.started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert segment.stopped == 1
    assert await verdicts(asked, "page")


async def test_unknown_names_are_refused_before_anything_is_measured(store: EvidenceStore) -> None:
    segment = FakeSegment()
    asked = verifier(store, segment)
    with pytest.raises(NotFound, match="the-pile"):
        await verdicts(asked, "the-heap")
    with pytest.raises(NotFound, match=r"no claim of the-pile named 'B4\.1'; known: P0"):
        await verdicts(asked, PILE, "B4.1")
    with pytest.raises(InvalidArgument, match="named twice"):
        await verdicts(asked, PILE, "P1.2", "P1.2")
    assert segment.listed == 0


def test_the_estimate_counts_a_shared_measurement_once() -> None:
    pile = REGISTRY.artifact(PILE).claims
    storage = [claim for claim in pile if claim.method.startswith("storage.")]
    assert len(storage) == 5
    assert estimate(storage, Budget.QUICK, pictures=True) == 30
    assert estimate(storage, Budget.FULL, pictures=True) == 150
    for artifact in REGISTRY.artifacts:
        quick, full = (estimate(artifact.claims, one, pictures=True) for one in Budget)
        assert quick <= full < claims.TIMEOUT_SECONDS


def test_a_claim_that_states_no_cost_is_planned_with_the_usual_one() -> None:
    """A plan of no seconds for what takes a minute would be false."""
    latency = next(one for one in REGISTRY.artifact(B4).claims if one.id == "B4.5")
    unstated = replace(latency, cost=Cost())
    assert estimate([unstated], Budget.QUICK, pictures=True) == 45
    assert estimate([unstated], Budget.FULL, pictures=True) == 240
    cheap = replace(unstated, method="model_facts.parameter_count@1")
    assert estimate([cheap], Budget.FULL, pictures=True) == 0


async def test_the_plan_has_no_time_for_pictures_that_are_not_there(store: EvidenceStore) -> None:
    asked = (verifier(store), verifier(store, pictures=PICTURES))
    assert [one.plan(B4, ["B1.4"], Budget.FULL).seconds for one in asked] == [0, 3600]
    updates = asked[0].verify(B4, ["B1.4"], Budget.FULL)
    assert await anext(updates) == VerificationPlan(("B1.4",), 0)
    await updates.aclose()


async def test_a_model_whose_digest_changes_is_measured_again(store: EvidenceStore) -> None:
    other = changed(B4_RANDOM, ref=ref("segformer-b4-random", "cc"))
    first = await verdicts(verifier(store), B4, "B4.1")
    later = verifier(store, FakeSegment((other,)), now=NOON + timedelta(hours=1))
    second = await verdicts(later, B4, "B4.1")
    assert first["B4.1"].evidence != second["B4.1"].evidence
    assert first["B4.1"].change is None
    assert second["B4.1"].change is not None
    assert second["B4.1"].change.evidence == first["B4.1"].evidence
    assert second["B4.1"].change.differences == (
        Difference("subject", B4_RANDOM.ref.digest[:19], "sha256:cccccccccccc"),
    )
    assert len((await store.about([f"{B4}/B4.1"]))[0]) == 2


async def test_a_clock_that_was_set_back_does_not_bring_an_older_verification_back(
    store: EvidenceStore,
) -> None:
    """What a verification is compared with is the one before it, whatever their clocks said."""
    other = changed(B4_RANDOM, ref=ref("segformer-b4-random", "cc"))
    await verdicts(verifier(store), B4, "B4.1")
    set_back = verifier(store, FakeSegment((other,)), now=NOON - timedelta(days=1))
    second = await verdicts(set_back, B4, "B4.1")
    third = await verdicts(set_back, B4, "B4.1")
    assert third["B4.1"].change is not None
    assert third["B4.1"].change.evidence == second["B4.1"].evidence
    assert third["B4.1"].change.differences == ()


async def test_another_figure_of_a_sample_is_a_change(store: EvidenceStore) -> None:
    segment = FakeSegment((B4_PUBLISHED,))
    few, all_ = PICTURES[:2], PICTURES
    times = (NOON + timedelta(hours=number) for number in range(5))
    found = []
    for pictures in ((), few, (), few, all_):
        asked = verifier(store, segment, pictures=pictures, now=next(times))
        change = (await verdicts(asked, B4, "B1.4", budget=Budget.FULL))["B1.4"].change
        found.append(None if change is None else change.differences)
    first, measured, without, again, more = found
    assert first is None
    assert measured == (Difference("value", "nothing was measured", "45 %", of_sample=True),)
    assert (without, again) == ((), ())
    assert more is not None
    assert more[0] == Difference("subject", "2", f"{len(all_)}", of_sample=True)


async def test_a_verdict_is_given_although_its_evidence_cannot_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "evidence.sqlite"
    database = SqliteDatabase(path, locked_seconds=0)
    await database.open()
    store = EvidenceStore(database)
    with closing(sqlite3.connect(path, isolation_level=None)) as other, capture_logs() as logs:
        other.execute("BEGIN IMMEDIATE")
        found = await verdicts(verifier(store), PILE, "P1.2", "P4.1", "P2.2")
    assert found["P1.2"].sourcing is SourceVerdict.FAITHFUL
    assert found["P2.2"].verdict is Verdict.REFUTED
    for one in found.values():
        assert "(not kept: the evidence database cannot be written" in one.reason
    assert [one["event"] for one in logs] == ["evidence not kept"]
    assert await store.about(f"{PILE}/{name}" for name in found) == ((), ())
    await database.close()
