"""Which documents duplicate others: by the hash of their text, or by their signatures.

Documents are numbered through, unit by unit; of duplicates the one with the lowest number stays.
Hashes are divided among tasks by their value, so that a task's memory is bounded however large the
corpus is: some 64 bytes a document of at most PART_DOCUMENTS, half a gigabyte.

Near duplicates: two documents that have a band of their signatures in common, and whose signatures
agree in at least the threshold's share of the permutations. Documents that are connected by such
pairs are one cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.corpus.build.bands import bands_of, rows_of_band
from services.corpus.build.job import Job
from services.corpus.build.recipe import NearDuplicates
from services.corpus.build.workspace import whole_file
from services.corpus.minhash import Signatures, has_words

PART_DOCUMENTS = 8 << 20
_BAND_TASKS = 6
# Documents that a document is compared with, of those with the same band.
_LEADERS = 32
_PAIRS = 1 << 15
_MIX = np.uint64(0x9E3779B97F4A7C15)

Numbers = npt.NDArray[np.int64]


def exact_name(pass_number: int) -> str:
    """Name the folder of the exact duplicates behind a pass."""
    return f"exact-{pass_number}"


def pairs_name(pass_number: int) -> str:
    """Name the folder of the pairs of near duplicates behind a pass."""
    return f"pairs-{pass_number}"


def clusters_name(pass_number: int) -> str:
    """Name the folder of the near duplicates behind a pass."""
    return f"clusters-{pass_number}"


def result_path(folder: Path, task: int) -> Path:
    """Name what a task has found."""
    return folder / f"{task:06d}.npy"


@dataclass(frozen=True)
class Documents:
    """The documents behind a pass. `starts` has the first number of each unit, and their count."""

    job: Job
    pass_number: int
    starts: Numbers

    @classmethod
    def of(cls, job: Job, pass_number: int) -> Documents:
        """Count the documents of all units."""
        stage = f"pass-{pass_number}"
        counts = [
            job.unit_files(stage, unit).facts()["documents"] for unit in range(len(job.units))
        ]
        return cls(job, pass_number, np.cumsum([0, *counts], dtype=np.int64))

    @property
    def parts(self) -> int:
        """Into how many parts hashes are divided."""
        return max(1, -(-int(self.starts[-1]) // PART_DOCUMENTS))

    def rows(self) -> Iterator[tuple[int, npt.NDArray[np.void]]]:
        """Map the rows of each unit, with the number of its first."""
        for unit, first in enumerate(self.starts[:-1].tolist()):
            yield first, self.job.unit_files(f"pass-{self.pass_number}", unit).rows()

    def signatures(self) -> list[Signatures]:
        """Map the signatures of each unit."""
        stage = f"pass-{self.pass_number}"
        units = range(len(self.job.units))
        return [self.job.unit_files(stage, unit).signatures() for unit in units]


def exact_tasks(documents: Documents) -> int:
    """Count the tasks that find exact duplicates."""
    return documents.parts


def find_exact(documents: Documents, task: int) -> None:
    """Write the numbers of the documents of one part whose text stands before."""
    high, low, numbers = [], [], []
    for first, rows in documents.rows():
        mine = rows["text_low"] % np.uint64(documents.parts) == task
        high.append(rows["text_high"][mine])
        low.append(rows["text_low"][mine])
        numbers.append(np.flatnonzero(mine) + first)
    found, texts = np.concatenate(numbers), (np.concatenate(low), np.concatenate(high))
    order = np.lexsort((found, *texts))
    same = np.ones(max(0, len(order) - 1), bool)
    for half in texts:
        same &= half[order][1:] == half[order][:-1]
    folder = documents.job.work / exact_name(documents.pass_number)
    _write(result_path(folder, task), np.sort(found[order[1:][same]]))


def pair_tasks(documents: Documents) -> int:
    """Count the tasks that find pairs of near duplicates."""
    return _BAND_TASKS * documents.parts


def find_pairs(documents: Documents, options: NearDuplicates, task: int) -> None:
    """Write the pairs of near duplicates of some bands and one part: (pairs, 2), lower first."""
    part, first_band = divmod(task, _BAND_TASKS)
    signatures, width = documents.signatures(), rows_of_band(options)
    pairs = [np.empty((0, 2), np.int64)]
    for band in range(first_band, bands_of(options), _BAND_TASKS):
        columns = slice(band * width, (band + 1) * width)
        keys, numbers = [], []
        for first, unit in zip(documents.starts.tolist(), signatures, strict=False):
            hashed = _hashed(unit[:, columns])
            mine = has_words(unit) & (hashed % np.uint64(documents.parts) == part)
            keys.append(hashed[mine])
            numbers.append(np.flatnonzero(mine) + first)
        compare = _comparison(documents, signatures, options)
        pairs += _pairs_of_band(np.concatenate(keys), np.concatenate(numbers), compare)
    folder = documents.job.work / pairs_name(documents.pass_number)
    _write(result_path(folder, task), np.concatenate(pairs))


def find_clusters(documents: Documents) -> None:
    """Write the numbers of the documents that are in a cluster and not its first."""
    work, number = documents.job.work, documents.pass_number
    folder = work / pairs_name(number)
    found = [np.load(result_path(folder, task)) for task in range(pair_tasks(documents))]
    pairs = np.unique(np.concatenate(found), axis=0)
    members, places = np.unique(pairs, return_inverse=True)
    first = _first_of_cluster(len(members), places.reshape(-1, 2))
    removed = members[first != np.arange(len(members))]
    _write(result_path(work / clusters_name(number), 0), removed)


def removed_of_unit(job: Job, pass_number: int, unit: int) -> Numbers:
    """Return the places in a unit's rows of the documents that duplicate others."""
    documents = Documents.of(job, pass_number)
    comparing = job.passes[pass_number].comparing
    near = comparing is not None and job.recipe.steps[comparing].kind == "near_duplicates"
    folder = job.work / (clusters_name if near else exact_name)(pass_number)
    tasks = 1 if near else exact_tasks(documents)
    start, end = documents.starts[unit : unit + 2].tolist()
    found = [np.empty(0, np.int64)]
    for task in range(tasks):
        removed = np.load(result_path(folder, task), mmap_mode="r")
        bounds = np.searchsorted(removed, [start, end])
        found.append(np.asarray(removed[bounds[0] : bounds[1]]))
    places: Numbers = np.sort(np.concatenate(found)) - start
    return places


def _pairs_of_band(
    keys: npt.NDArray[np.uint64],
    numbers: Numbers,
    same: Callable[[Numbers, Numbers], npt.NDArray[np.bool_]],
) -> list[Numbers]:
    """Compare the documents of each key with the first of them; those that differ, once more.

    Documents like a leader follow it; the first of the others leads next, at most LEADERS times.
    """
    order = np.lexsort((numbers, keys))
    keys, numbers = keys[order], numbers[order]
    pairs = []
    for _ in range(_LEADERS):
        starts = np.ones(len(keys), bool)
        starts[1:] = keys[1:] != keys[:-1]
        leaders = numbers[np.flatnonzero(starts)[np.cumsum(starts) - 1]]
        led = ~starts
        if not led.any():
            break
        left, right = leaders[led], numbers[led]
        alike = same(left, right)
        pairs.append(np.stack([left[alike], right[alike]], axis=1))
        keys, numbers = keys[led][~alike], right[~alike]
    return pairs


def _comparison(
    documents: Documents, signatures: list[Signatures], options: NearDuplicates
) -> Callable[[Numbers, Numbers], npt.NDArray[np.bool_]]:
    least = options.threshold * options.permutations

    def rows(numbers: Numbers) -> Signatures:
        found = np.empty((len(numbers), options.permutations), np.uint32)
        units = np.searchsorted(documents.starts, numbers, side="right") - 1
        for unit in np.unique(units).tolist():
            mine = units == unit
            found[mine] = signatures[unit][numbers[mine] - documents.starts[unit]]
        return found

    def same(left: Numbers, right: Numbers) -> npt.NDArray[np.bool_]:
        chunks = [np.empty(0, bool)]
        for start in range(0, len(left), _PAIRS):
            chunk = slice(start, start + _PAIRS)
            chunks.append((rows(left[chunk]) == rows(right[chunk])).sum(axis=1) >= least)
        return np.concatenate(chunks)

    return same


def _first_of_cluster(count: int, pairs: Numbers) -> Numbers:
    """Return the lowest member of each member's cluster: labels go along pairs until none falls."""
    label = np.arange(count)
    while True:
        lowest = np.minimum(label[pairs[:, 0]], label[pairs[:, 1]])
        before = label.copy()
        for side in range(2):
            # Of the label, too, so that whole trees fall at once.
            np.minimum.at(label, before[pairs[:, side]], lowest)
            np.minimum.at(label, pairs[:, side], lowest)
        label = label[label]
        if (label == before).all():
            return label


def _hashed(band: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
    value = np.zeros(len(band), np.uint64)
    for column in range(band.shape[1]):
        value = (value ^ band[:, column]) * _MIX
        value ^= value >> np.uint64(29)
    return value


def _write(path: Path, numbers: Numbers) -> None:
    with whole_file(path) as file:
        np.save(file, numbers, allow_pickle=False)
