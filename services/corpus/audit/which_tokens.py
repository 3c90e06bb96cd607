"""The first two questions: which text was read, and which of its tokens were scored."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from services.corpus.audit.guide import Listed, guide_pattern
from services.corpus.audit.scored_tokens import (
    Pattern,
    any_window,
    recognise,
    scored_in,
    scored_of,
)
from services.corpus.audit.tokenizer import Counts, Cutter
from services.corpus.audit.trial import Trial
from services.corpus.audit.verdict import Mistake

_READ = "the text that was read"
_ENOUGH = 3  # documents whose token counts show an unstated window


def which_text(trial: Trial) -> None:
    """Compare the text that the model read, if published, with the source."""
    evidence = trial.evidence
    pairs = [
        (evidence.text(i), document.scored_text)
        for i, document in enumerate(evidence.documents)
        if document.scored_text is not None and evidence.texts[i] is not None
    ]
    other = [(source, read) for source, read in pairs if source != read]
    if other and all(read in {source.lower(), source.casefold()} for source, read in other):
        trial.folded = True
        trial.accuse(
            [Mistake.CASE_FOLDED],
            f"the text that was read is the source in small letters in {len(other):,} of "
            f"{len(pairs):,} documents",
        )
    cutter = evidence.cutter
    if cutter is not None and cutter.folds_case:
        texts = [evidence.text(i) for i in evidence.with_text]
        capitals = sum(text != text.lower() for text in texts)
        if capitals:
            trial.folded = True
            trial.accuse(
                [Mistake.CASE_FOLDED],
                f"the tokenizer, which reads the {capitals:,} of {len(texts):,} texts with capital "
                "letters in small ones",
            )


def which_tokens(trial: Trial) -> None:
    """Compare the numbers of scored and of all tokens, then nats with likelihoods."""
    published = {
        i: scored
        for i, document in enumerate(trial.evidence.documents)
        if (scored := scored_of(document)) is not None
    }
    cutter = trial.evidence.cutter
    if cutter is not None and trial.evidence.with_text:
        _tokens_of_texts(trial, cutter, published)
    elif not _tokens_of_documents(trial, published):
        _tokens_in_total(trial)
    _likelihoods(trial)


def _tokens_of_texts(trial: Trial, cutter: Cutter, published: dict[int, int]) -> None:
    evidence = trial.evidence
    total = scored_in(trial.record.totals)
    added = not published
    if added and (total is None or not evidence.all_texts):
        trial.unchecked.append("which tokens were scored: no counts of them")
        return
    places = evidence.with_text if added else [i for i in evidence.sample(()) if i in published]
    scored = np.array([total] if added else [published[i] for i in places], np.int64)
    cuts = evidence.cuts(places)
    tokens = np.array([len(cuts[i].sizes) for i in places], np.int64)
    lost = sum(cuts[i].loses for i in places)
    if lost and not trial.folded:
        trial.unchecked.append(
            f"the text of {lost:,} of {len(places):,} documents: the tokenizer cannot reproduce "
            "it, so the figure is about another text"
        )
    found = recognise(trial.record, tokens, scored, added=added)
    where = f"tokens in {len(places):,} documents"
    if found and not found[0].mistakes:
        _conclude(trial, found, where)
        return
    read = _other_text(trial, cutter, places, scored)
    if found and read == _READ:  # a cut that shows in the text too
        _conclude(trial, found, where)
    elif read and found:
        trial.patterns, trial.contradicted = tuple(found), True
        mistakes = chain.from_iterable(one.mistakes for one in found)
        trial.accuse([*mistakes, Mistake.CASE_FOLDED], f"the number of scored {where}")
    elif read:
        trial.checked.append(f"the tokens of {len(places):,} documents are those of {read}")
        if read != _READ:
            trial.folded = True
            detail = f"the tokens are those of {read}, not of the source"
            trial.accuse([Mistake.CASE_FOLDED], detail)
    else:
        counted = _counted(trial, places, added=added)
        fewer = list(counted) == ([int(tokens.sum())] if added else tokens.tolist())
        if not found and (fewer or (not added and len(tokens) >= _ENOUGH)):
            found = any_window(trial.record, tokens, scored, added=added)
        _conclude(trial, found, where, fewer=int(tokens.sum() - scored.sum()) if fewer else 0)


def _counted(trial: Trial, places: Sequence[int], *, added: bool) -> Sequence[int | None]:
    """Return the number of tokens that the record states, scored or not."""
    documents, totals = trial.evidence.documents, trial.record.totals
    if added:
        return [totals.tokens if totals.scored_tokens is not None else None]
    sums = [documents[i] for i in places]
    return [len(one.token_nats) if one.token_nats is not None else one.sums.tokens for one in sums]


def _other_text(trial: Trial, cutter: Cutter, places: Sequence[int], scored: Counts) -> str:
    """Name the text that was read instead of the source; "" if none fits."""
    evidence = trial.evidence
    read = [evidence.documents[i].scored_text for i in places]
    texts = {_READ: [one or "" for one in read]} if all(read) else {}
    for name, fold in (("in small letters", str.lower), ("with folded case", str.casefold)):
        texts[f"the text {name}"] = [fold(evidence.text(i)) for i in places]
    for what, candidate in texts.items():
        tokens = np.array([len(cut.sizes) for cut in cutter.cut(candidate)], np.int64)
        found = recognise(trial.record, tokens, scored, added=len(scored) < len(places))
        if found and not found[0].mistakes:
            return what
    return ""


def _tokens_of_documents(trial: Trial, published: dict[int, int]) -> bool:
    """Compare scored with counted tokens, by document, if both are published."""
    counted = [
        (tokens, scored)
        for i, scored in published.items()
        if (tokens := trial.evidence.documents[i].sums.tokens) is not None
    ]
    if not counted:
        return False
    tokens, scored = np.array(counted, np.int64).T
    found = recognise(trial.record, tokens, scored, added=False)
    found = found or any_window(trial.record, tokens, scored, added=False)
    _conclude(trial, found, "tokens", fewer=int((tokens - scored).sum()))
    trial.unchecked.append("whether the tokens are those of the texts: no texts with a tokenizer")
    return True


def _tokens_in_total(trial: Trial) -> None:
    trial.unchecked.append("which tokens were scored: no texts with a tokenizer")
    known, totals, documents = trial.record.known, trial.record.totals, trial.record.known_documents
    counted = known.tokens if known.tokens is not None else totals.tokens
    scored = scored_in(totals)
    if counted is None or scored is None or scored >= counted:
        return
    missing = counted - scored
    if documents and missing == documents:
        trial.patterns = (Pattern((Mistake.FIRST_TOKEN_MISSING,)),)
        trial.accuse(
            trial.patterns[0].mistakes,
            f"{scored:,} tokens were scored, one fewer in each of {documents:,} documents than "
            f"their {counted:,}",
        )
    else:
        trial.contradicted = True
        trial.accuse(
            _may_leave_out(missing, documents), f"{scored:,} tokens were scored of {counted:,}"
        )


def _may_leave_out(missing: int, documents: int | None) -> list[Mistake]:
    """Return the mistakes that can leave out this many tokens; texts may be empty or folded."""
    mistakes = [
        *(Mistake.TRUNCATED, Mistake.BOUNDARY_UNSCORED, Mistake.GUIDE_WEIGHTS),
        Mistake.CASE_FOLDED,
    ]
    first = documents is None or missing <= documents
    return [Mistake.FIRST_TOKEN_MISSING, *mistakes] if first else mistakes


def _conclude(trial: Trial, found: Sequence[Pattern], where: str, *, fewer: int = 0) -> None:
    """Record which tokens were scored; `fewer`: the record itself says fewer than all."""
    if not found and fewer > 0 and _counts_whole_texts(trial):
        trial.contradict(f"the number of scored {where}: {fewer:,} are missing")
        return
    if not found:
        # A marked or normalised text has other tokens; its bytes may show which.
        trial.unchecked.append(f"which {where} were scored: their number is not a known one")
        return
    trial.patterns = tuple(found)
    if not found[0].mistakes:
        trial.checked.append(f"the number of scored {where}")
        return
    window = f" (window {found[0].window:,})" if found[0].window else ""
    if len(found) == 1:
        for mistake in found[0].mistakes:
            trial.accuse([mistake], f"the number of scored {where}{window}")
    else:
        mistakes = chain.from_iterable(one.mistakes for one in found)
        trial.accuse(mistakes, f"the number of scored {where}")


def _counts_whole_texts(trial: Trial) -> bool:
    """Whether the published bytes are those of the texts, scored or not."""
    evidence, total = trial.evidence, trial.record.totals.bytes
    sizes = [one.sums.bytes for one in evidence.documents]
    sources = evidence.sources
    if None in sources:
        return False
    return sizes == sources or (total is not None and total == sum(filter(None, sources)))


def _likelihoods(trial: Trial) -> None:
    """Compare each document's nats with the likelihoods of its tokens."""
    tested = {
        i: Listed(document.token_nats, document.sums.nats, document.token_half_digit)
        for i, document in enumerate(trial.evidence.documents)
        if document.token_nats and document.sums.nats is not None
    }
    if not tested:
        return
    off = [one for one in tested.values() if not one.agrees(one.plain)]
    if not off:
        trial.checked.append(f"nats of {len(tested):,} documents are the sums of their tokens'")
        return
    pattern = guide_pattern(trial.record, list(tested.values()))
    if pattern is None:
        trial.contradict(f"the nats of {len(off):,} documents are not the sums of their tokens'")
        return
    trial.nats = {i: one.plain for i, one in tested.items()}
    # Includes the first token, which is not scored.
    trial.resolve(pattern)
    trial.accuse(
        pattern.mistakes,
        f"the nats of {len(off):,} documents (window {pattern.window:,}, stride "
        f"{pattern.stride:,})",
    )
