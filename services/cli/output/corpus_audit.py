"""An audit of a corpus as tables and sentences."""

from __future__ import annotations

from assay_rpc.audit.v1alpha1 import corpus_audit_pb2 as pb
from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import describe_pb2

from services.cli.output.grid import Column, Grid, Kind
from services.common.counts import plural
from services.common.percent import percent

_LISTED_PLACES = 20
_LISTED_LANGUAGES = 12
_EXCERPT = 60
_AVAILABILITY = {
    describe_pb2.AVAILABILITY_EXCEPT_UNCOPYRIGHTED: "copyrighted",
    describe_pb2.AVAILABILITY_BY_NAME: "withdrawn",
}


def tables(found: pb.CorpusAudit) -> list[Grid]:
    """The subsets, their contents, the test sets and the longest hits."""
    made = [_subsets(found), _contents(found)]
    if found.HasField("contamination"):
        made.append(_test_sets(found.contamination))
        if found.contamination.places:
            made.append(_places(found.contamination))
    return made


def name_of(part: pb.AuditedPart) -> str:
    """A subset's name."""
    return part.name or "(none named)"


def rights_of(part: pb.AuditedPart) -> str:
    """Whether a subset is withdrawn or copyrighted, and its licence."""
    marks = [_AVAILABILITY.get(part.rights.availability, ""), part.rights.license]
    return "; ".join(filter(None, marks))


def share_of(count: int, of: int, interval: common_pb2.Interval) -> str:
    """A share with its interval; empty without trials."""
    return (
        f"{percent(count / of, 2)} ({percent(interval.low, 2)} .. {percent(interval.high, 2)})"
        if of
        else ""
    )


def summary(found: pb.CorpusAudit) -> list[str]:
    """Sentences about the whole corpus, one a line."""
    lines = [*_repeats("repeat an earlier text", found.exact)]
    if found.HasField("near"):
        lines += _repeats("nearly repeat an earlier text", found.near)
        if found.near_documents < found.whole.documents:
            lines.append(
                f"near duplicates were looked for among the first {found.near_documents:,} "
                "documents only"
            )
    if found.languages:
        told = ", ".join(
            f"{one.language} {percent(one.documents / found.languages_documents, 1)} "
            f"({percent(one.share.low, 1)} .. {percent(one.share.high, 1)})"
            for one in found.languages[:_LISTED_LANGUAGES]
        )
        lines.append(f"languages of {found.languages_documents:,} documents: {told}")
    if found.whole.HasField("lengths"):
        size, words = found.whole.lengths, found.whole
        lines.append(
            f"documents have {size.least:,} to {size.most:,} bytes, the median {size.median:,}, "
            f"nine of ten up to {size.p90:,}; {plural(words.words, 'word')}, about "
            f"{words.distinct_words:,} different"
        )
    personal = found.whole.personal
    lines.append(
        f"spelled as personal data: {personal.emails:,} e-mail addresses, "
        f"{personal.ip_addresses:,} public IPv4 addresses, {personal.phone_numbers:,} telephone "
        f"numbers, in {personal.documents:,} documents"
    )
    if found.HasField("distance"):
        distance = found.distance
        lines.append(
            f"total-variation distance of the shares from {distance.source}: "
            f"{distance.total_variation:.3f} ({percent(distance.interval.level)} interval "
            f"{distance.interval.low:.3f} .. {distance.interval.high:.3f})"
        )
    if found.HasField("contamination"):
        whole = found.whole
        share = share_of(whole.contaminated_documents, whole.documents, whole.contaminated_share)
        lines.append(
            f"contaminated: {whole.contaminated_documents:,} documents, {share}; "
            f"{whole.contaminated_bytes:,} bytes in {found.contamination.hits:,} hits of "
            f"{found.contamination.ngram_words} words or more"
        )
    if found.HasField("score"):
        lines += _scores(found.score)
    lines.append(f"digest {found.corpus.digest}")
    return lines


def _subsets(found: pb.CorpusAudit) -> Grid:
    table = Grid(
        f"{found.corpus.name}: {plural(found.whole.documents, 'document')}, "
        f"{found.whole.text_bytes:,} bytes of text",
        [
            Column("subset", Kind.NAME),
            *map(Column, ("documents", "bytes", "share")),
            Column("published", spare=1),
            Column("rights", Kind.TEXT, spare=2),
        ],
    )
    for part in found.subsets:
        table.add(
            name_of(part),
            f"{part.documents:,}",
            f"{part.text_bytes:,}",
            f"{percent(part.share, 2)}",
            f"{percent(part.published_share, 2)}" if part.HasField("published_share") else "",
            rights_of(part),
        )
    return table


def _contents(found: pb.CorpusAudit) -> Grid:
    near, against = found.HasField("near"), found.HasField("contamination")
    headings = ["median bytes", "words", "repeats", *(["near"] if near else []), "personal data"]
    headings += ["contaminated"] if against else []
    table = Grid("what their documents hold", [Column("subset", Kind.NAME), *map(Column, headings)])
    for part in found.subsets:
        cells = [f"{part.lengths.median:,}", f"{part.words:,}", f"{part.exact_repeats:,}"]
        cells += [f"{part.near_repeats:,}"] if near else []
        cells.append(f"{part.personal.documents:,}")
        if against:
            share = share_of(part.contaminated_documents, part.documents, part.contaminated_share)
            cells.append(f"{part.contaminated_documents:,}: {share}")
        table.add(name_of(part), *cells)
    return table


def _test_sets(found: pb.Contamination) -> Grid:
    table = Grid(
        f"test sets, by {found.ngram_words} words in a row",
        [
            Column("test set", Kind.NAME),
            *map(Column, ("texts", "too short", "found", "share", "longest")),
        ],
    )
    for one in found.test_sets:
        table.add(
            one.test_set,
            f"{one.texts:,}",
            f"{one.too_short:,}",
            f"{one.found:,}",
            share_of(one.found, one.texts - one.too_short, one.share),
            f"{one.longest:,}" if one.longest else "",
        )
    return table


def _places(found: pb.Contamination) -> Grid:
    listed = found.places[:_LISTED_PLACES]
    more = f", the longest {len(listed)} of {found.hits:,}" if found.hits > len(listed) else ""
    table = Grid(
        f"hits{more}",
        [
            Column("document", Kind.NAME),
            Column("subset", Kind.TEXT, spare=2),
            Column("bytes"),
            Column("text of", Kind.NAME),
            Column("words"),
            Column("begins with", Kind.TEXT, spare=1),
        ],
    )
    for one in listed:
        table.add(
            one.document,
            one.subset,
            f"{one.start:,} .. {one.end:,}",
            f"{one.test_set}, {one.number:,}",
            f"{one.words:,}",
            " ".join(one.excerpt.split())[:_EXCERPT],
        )
    return table


def _repeats(what: str, found: pb.Repeats) -> list[str]:
    inside = ", ".join(f"{count:,} in {split}" for split, count in sorted(found.within.items()))
    lines = [f"{plural(found.documents, 'document')} {what}; within a split: {inside or 'none'}"]
    between = [
        f"{one.documents:,} of {one.split} in {one.other}" for one in found.between if one.documents
    ]
    if between:
        lines.append(f"  between splits: {', '.join(between)}")
    return lines


def _scores(score: pb.ScoredWithout) -> list[str]:
    lines = []
    for name, part in (
        ("all documents", score.all),
        ("without contaminated ones", score.without),
        ("contaminated ones", score.contaminated),
    ):
        value = f"{part.bits_per_byte:.4f}" if part.HasField("bits_per_byte") else "nothing scored"
        interval = ""
        if part.HasField("interval"):
            interval = f" ({part.interval.low:.4f} .. {part.interval.high:.4f})"
        lines.append(
            f"bits per byte of {score.model.name}, {name}: {value}{interval}, "
            f"{plural(part.documents, 'document')}"
        )
    if score.excluded:
        lines.append(f"  not scored, and in none of them: {plural(score.excluded, 'document')}")
    return lines
