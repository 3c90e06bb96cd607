"""The stages of a build in their order, and how a task of one is done.

    pass-0, exact-0 or pairs-0 and clusters-0, pass-1, ..., scatter, gather, describe

The number of tasks of a stage depends on the results of the stages before it, so stages are yielded
one by one. A task is done when its last file exists; repeating it writes the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from services.corpus.build.describe import describe
from services.corpus.build.job import CARD, Job, read_facts
from services.corpus.build.mixture import Mixture, mixture_of
from services.corpus.build.recipe import NearDuplicates
from services.corpus.build.stages.duplicates import (
    Documents,
    clusters_name,
    exact_name,
    exact_tasks,
    find_clusters,
    find_exact,
    find_pairs,
    pair_tasks,
    pairs_name,
)
from services.corpus.build.stages.gather import GATHER, gather
from services.corpus.build.stages.passes import PassRunner, name_of
from services.corpus.build.stages.scatter import SCATTER, scatter
from services.corpus.build.workspace import full_disk_told
from services.corpus.shards.names import SPLITS
from services.errors import PreconditionFailed

DESCRIBE = "describe"


@dataclass(frozen=True)
class Stage:
    """A stage. `title` is for people; task N is done when the file of its number is there."""

    name: str
    title: str
    tasks: int
    folder: Path
    suffix: str

    def done(self, task: int) -> bool:
        """Whether a task is done."""
        if self.name == DESCRIBE:
            return (self.folder / CARD).exists()
        return (self.folder / f"{task:06d}.{self.suffix}").exists()

    def left(self) -> list[int]:
        """Return the tasks that are not done."""
        return [task for task in range(self.tasks) if not self.done(task)]


@dataclass
class Builder:
    """Does tasks of a job. What a stage needs is made ready once, in each process."""

    job: Job
    _runners: dict[int, PassRunner] = field(default_factory=dict)
    _documents: dict[int, Documents] = field(default_factory=dict)

    def stages(self) -> Iterator[Stage]:
        """Yield the stages. The next is requested when all tasks of the one before are done."""
        job, work = self.job, self.job.work
        for number, steps in enumerate(job.passes):
            title = "read" if number == 0 else f"pass {number + 1}"
            yield Stage(name_of(number), title, len(job.units), work / name_of(number), "json")
            if steps.comparing is None:
                continue
            documents = self._documents_of(number)
            if self._near(number) is None:
                name, tasks = exact_name(number), exact_tasks(documents)
                yield Stage(name, "exact duplicates", tasks, work / name, "npy")
            else:
                name, tasks = pairs_name(number), pair_tasks(documents)
                yield Stage(name, "pairs of near duplicates", tasks, work / name, "npy")
                name = clusters_name(number)
                yield Stage(name, "near duplicates", 1, work / name, "npy")
        yield Stage(SCATTER, "scatter", len(job.units), work / SCATTER, "json")
        shards = len(self.mixture.shards)
        yield Stage(GATHER, "gather", shards, work / GATHER, "json")
        yield Stage(DESCRIBE, "describe", 1, job.out, "json")

    def run(self, stage: str, task: int) -> None:
        """Do a task.

        Raises StorageFull if the disk is full, and what reading sources and plug-ins raise.
        """
        with full_disk_told(self.job.out, f"stage {stage}, task {task}"):
            self._run(stage, task)

    def _run(self, stage: str, task: int) -> None:
        kind, _, number = stage.partition("-")
        if kind == "pass":
            self._runner(int(number)).run(task)
        elif kind == "exact":
            find_exact(self._documents_of(int(number)), task)
        elif kind == "pairs":
            options = self._near(int(number))
            if options is None:
                raise ValueError(f"{stage} compares no signatures")
            find_pairs(self._documents_of(int(number)), options, task)
        elif kind == "clusters":
            find_clusters(self._documents_of(int(number)))
        elif kind == SCATTER:
            scatter(self.job, self.mixture, task)
        elif kind == GATHER:
            gather(self.job, self.mixture, task)
        else:
            describe(self.job, self.mixture)

    @cached_property
    def mixture(self) -> Mixture:
        """The mixture of documents. Raises PreconditionFailed if no document is left."""
        sources = [{split: [0, 0] for split in SPLITS} for _ in self.job.recipe.sources]
        last = name_of(len(self.job.passes) - 1)
        for unit, facts in zip(self.job.units, read_facts(self.job, last), strict=True):
            for split, counts in facts["splits"].items():
                for place, count in enumerate(counts):
                    sources[unit.source][split][place] += count
        mixture = mixture_of(self.job.recipe, sources)
        if not mixture.shards:
            raise PreconditionFailed(
                "the recipe's steps leave no document; loosen a filter, or add a source"
            )
        return mixture

    def _runner(self, number: int) -> PassRunner:
        if number not in self._runners:
            self._runners = {number: PassRunner(self.job, number)}
        return self._runners[number]

    def _documents_of(self, number: int) -> Documents:
        if number not in self._documents:
            self._documents = {number: Documents.of(self.job, number)}
        return self._documents[number]

    def _near(self, number: int) -> NearDuplicates | None:
        comparing = self.job.passes[number].comparing
        options = None if comparing is None else self.job.recipe.steps[comparing].options
        return options if isinstance(options, NearDuplicates) else None
