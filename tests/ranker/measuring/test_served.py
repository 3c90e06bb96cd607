"""What is served under a name is known by digests, and by nothing else."""

from __future__ import annotations

import pytest

from services.ranker.claims.findings import UnmeasuredReason
from services.ranker.claims.model import Configuration, SubjectRelation
from services.ranker.measuring.served import corpus_named, corpus_relation, weaker
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.peers.protocol import CorpusDescription
from tests.ranker.peers_fake import (
    COMPLETE,
    DESCRIPTION,
    FOREIGN,
    PILE_FILES,
    REFERENCE,
    SAMPLE,
    changed,
)

EXACT, NAMED, PART = SubjectRelation.EXACT, SubjectRelation.NAMED, SubjectRelation.SAMPLE
FILES = dict(PILE_FILES)


def served(description: CorpusDescription, stated: Configuration) -> SubjectRelation:
    return corpus_relation(description, stated, "the-pile")


def test_a_corpus_is_what_its_digest_says_or_what_its_files_say() -> None:
    assert served(DESCRIPTION, Configuration(digest=SAMPLE.ref.digest)) is EXACT
    assert served(DESCRIPTION, Configuration(files=FILES)) is PART
    # The names of files say nothing: contents are known.
    renamed = {f"elsewhere/{number}": one for number, one in enumerate(FILES.values())}
    assert served(DESCRIPTION, Configuration(files=renamed)) is PART


@pytest.mark.parametrize(
    "stated",
    [
        Configuration(),
        Configuration(revision="main"),
        Configuration(digest=COMPLETE.ref.digest),
        Configuration(files={"train/00.jsonl.zst": FILES["train/00.jsonl.zst"]}),  # one of two
        Configuration(files=dict.fromkeys(FILES, "sha256:" + "00" * 32)),
    ],
)
def test_what_no_digest_knows_has_the_name_alone(stated: Configuration) -> None:
    assert served(DESCRIPTION, stated) is NAMED


def test_files_of_something_else_among_them_make_it_something_else() -> None:
    assert served(FOREIGN, Configuration(files=FILES)) is NAMED
    shards = [*DESCRIPTION.corpus.shards, FOREIGN.corpus.shards[0]]
    mixed = changed(DESCRIPTION, corpus=changed(DESCRIPTION.corpus, shards=shards))
    assert served(mixed, Configuration(files=FILES)) is NAMED
    none = changed(DESCRIPTION, corpus=changed(DESCRIPTION.corpus, shards=None))
    assert served(none, Configuration(files=FILES)) is NAMED


def test_documents_of_foreign_subsets_are_no_sample() -> None:
    with pytest.raises(UnobservableError, match="so it is not a sample of the-pile"):
        served(DESCRIPTION, Configuration(subsets=("Pile-CC",)))


def test_no_other_name_stands_for_it() -> None:
    for name in ("pile-uncopyrighted", "the-pil", "THE-PILE"):
        with pytest.raises(UnobservableError, match=f"the corpus service does not have {name}"):
            corpus_named([REFERENCE, COMPLETE], name, UnmeasuredReason.NOT_SERVED)


@pytest.mark.parametrize("one", [EXACT, PART, NAMED])
def test_a_figure_of_two_things_is_of_the_least_known(one: SubjectRelation) -> None:
    assert weaker(one, NAMED) is weaker(NAMED, one) is NAMED
    assert weaker(one, EXACT) is weaker(EXACT, one) is one
