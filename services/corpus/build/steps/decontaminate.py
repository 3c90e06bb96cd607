"""Removes texts of test sets from documents, by n-grams of words.

`cut` is what GPT-3 and the Pile did, as lm-evaluation-harness does it (`Janitor.clean`): around
each hit `window` characters go too, the document is split there, pieces of fewer than
`min_characters` go, and so does a document of more than `max_hits`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from services.corpus.build.listing import files_of
from services.corpus.build.recipe import Contamination
from services.corpus.contamination.ngrams import NgramIndex
from services.corpus.shards.bad_lines import BadLines
from services.corpus.shards.blocks import read_blocks
from services.corpus.shards.documents import parse_line
from services.corpus.shards.formats import READING, Keys
from services.corpus.shards.index.output import file_fact
from services.corpus.shards.layout import ShardFile, find_shards
from services.corpus.shards.records import BadLineError
from services.errors import DataLoss, InvalidArgument


class Decontamination:
    """Looks documents up in the n-grams of test sets."""

    def __init__(
        self, options: Contamination, shards: Iterable[ShardFile], where: str = "contamination"
    ) -> None:
        """Read the test sets of the step at `where` in the recipe.

        Raises DataLoss, and InvalidArgument where none has n words.
        """
        self._options = options
        try:
            self._index = NgramIndex(_texts(shards), options.ngram)
        except DataLoss as error:
            shard, problem = f"{where}.against: {error.shard}", _of_a_test_set(error.problem)
            raise DataLoss(shard, error.offset, problem) from None
        if not len(self._index):
            raise InvalidArgument(
                f"{where}.against", f"holds no text of {options.ngram} words or more"
            )

    def pieces(self, text: str) -> tuple[list[str], int]:
        """Return what stays of a text, and in how many places test sets were found in it."""
        data = text.encode("utf-8", "surrogatepass")
        merged = _merged([(hit.start, hit.end) for hit in self._index.hits(data)])
        if not merged:
            return [text], 0
        options = self._options
        if options.action == "drop" or len(merged) > options.max_hits:
            return [], len(merged)
        places = [(_characters(data, start), _characters(data, end)) for start, end in merged]
        windows = _merged(
            [(max(0, start - options.window), end + options.window) for start, end in places]
        )
        kept, begin = [], 0
        for start, end in windows:
            kept.append(text[begin:start])
            begin = end
        kept.append(text[begin:])
        return [piece for piece in kept if _long_enough(piece, options)], len(merged)


def test_shards(
    options: Contamination, variables: Mapping[str, str], folder: Path
) -> list[ShardFile]:
    """Find the files of the test sets. Raises NotFound and LayoutError."""
    reading = replace(READING, keys=Keys(options.text_key))
    return [
        shard
        for root in files_of(options.against, variables, folder)
        for shard in find_shards(root, reading)
    ]


def test_set_digest(shards: Iterable[ShardFile]) -> str:
    """Digest the files of test sets, for what identifies a build."""
    digest = hashlib.sha256()
    for shard in shards:
        digest.update(file_fact(shard.file).digest.encode())
    return f"sha256:{digest.hexdigest()}"


def _of_a_test_set(problem: str) -> str:
    """Spell what a message says of flags and settings as a recipe has it."""
    key = "`text_key` of the step names the member with the text"
    problem = problem.replace("--text-key (in settings: text_key)", "`text_key` of the step")
    return re.sub(
        r" \(--skip-bad-lines[^)]*\)",
        lambda match: f"; {key}" if "--text-key" in match[0] else "",
        problem,
    )


def _texts(shards: Iterable[ShardFile]) -> Iterator[tuple[str, bytes]]:
    for shard in shards:
        bad = BadLines(shard.path, skip=False)
        for block in bad.readable(read_blocks(shard.file, shard.path, reading=shard.reading)):
            for number, line in enumerate(block.data.split(b"\n")[:-1], block.first_line):
                try:
                    document = parse_line(line, shard.path, number)
                except BadLineError as error:
                    bad.met(block, number, line, error)
                else:
                    yield document.id, document.text


def _merged(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join places that overlap or touch."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(places):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def _characters(data: bytes, offset: int) -> int:
    """Return how many characters begin before a byte of UTF-8."""
    return len(data[:offset].decode("utf-8", "surrogatepass"))


def _long_enough(piece: str, options: Contamination) -> bool:
    return len(piece) >= max(1, options.min_characters) and not piece.isspace()
