"""The first two questions: which text was read, and which of its tokens were scored."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from services.corpus.audit.guide import Listed, guide_pattern
from services.corpus.audit.scored_tokens import Pattern, recognise, scored_in, scored_of
from services.corpus.audit.tokenizer import Counts, Cutter
from services.corpus.audit.trial import Trial
from services.corpus.audit.verdict import Mistake


def which_text(trial: Trial) -> None:
    """Compare the text that the model read, where it was published, with the source."""
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


def which_tokens(trial: Trial) -> None:
    """Compare how many tokens were scored with how many there are, then nats with likelihoods."""
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
    found = recognise(trial.record, tokens, scored, added=added)
    if not found and (read := _other_text(trial, cutter, places, scored)):
        trial.checked.append(f"the tokens of {len(places):,} documents are those of {read}")
    else:
        _conclude(trial, found, f"tokens in {len(places):,} documents")


def _other_text(trial: Trial, cutter: Cutter, places: Sequence[int], scored: Counts) -> str:
    """Name the text that was read in the place of the source; "" where none fits."""
    evidence = trial.evidence
    read = [evidence.documents[i].scored_text for i in places]
    texts = {"the text that was read": [one or "" for one in read]} if all(read) else {}
    for name, fold in (("in small letters", str.lower), ("with folded case", str.casefold)):
        texts[f"the text {name}"] = [fold(evidence.text(i)) for i in places]
    for what, candidate in texts.items():
        tokens = np.array([len(cut.sizes) for cut in cutter.cut(candidate)], np.int64)
        found = recognise(trial.record, tokens, scored, added=len(scored) < len(places))
        if found and not found[0].mistakes:
            if what != "the text that was read":
                trial.folded = True
                trial.accuse(
                    [Mistake.CASE_FOLDED], f"the tokens are those of {what}, not of the source"
                )
            return what
    return ""


def _tokens_of_documents(trial: Trial, published: dict[int, int]) -> bool:
    """Compare tokens scored with tokens counted, by document, where both are published."""
    counted = [
        (tokens, scored)
        for i, scored in published.items()
        if (tokens := trial.evidence.documents[i].sums.tokens) is not None
    ]
    if not counted:
        return False
    pairs = np.array(counted, np.int64)
    _conclude(trial, recognise(trial.record, pairs[:, 0], pairs[:, 1], added=False), "tokens")
    trial.unchecked.append("whether the tokens are those of the texts: no texts with a tokenizer")
    return True


def _tokens_in_total(trial: Trial) -> None:
    trial.unchecked.append("which tokens were scored: no texts with a tokenizer")
    known, totals, documents = trial.record.known, trial.record.totals, trial.record.known_documents
    counted = known.tokens if known.tokens is not None else totals.tokens
    scored = scored_in(totals)
    if counted is None or scored is None or scored >= counted:
        return
    if documents and scored == counted - documents:
        trial.patterns = (Pattern((Mistake.FIRST_TOKEN_MISSING,)),)
        trial.accuse(
            trial.patterns[0].mistakes,
            f"{scored:,} tokens were scored, one fewer in each of {documents:,} documents than "
            f"their {counted:,}",
        )
    else:
        trial.contradicted = True
        trial.accuse((), f"{scored:,} tokens were scored of {counted:,}")


def _conclude(trial: Trial, found: Sequence[Pattern], where: str) -> None:
    if not found:
        # A text that was marked or normalised has other tokens: its bytes may say which.
        trial.unchecked.append(f"which {where} were scored: their number is none of the known ones")
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
        trial.contradicted = True
        trial.accuse((), f"the nats of {len(off):,} documents are not the sums of their tokens'")
        return
    trial.nats = {i: one.plain for i, one in tested.items()}
    # That the first token is not scored is a part of it.
    trial.resolve(pattern)
    trial.accuse(
        pattern.mistakes,
        f"the nats of {len(off):,} documents (window {pattern.window:,}, stride "
        f"{pattern.stride:,})",
    )
