"""The commands, in the order in which `assay --help` lists them.

A module is imported when its command is chosen, so that help is quick and a command needs no
library of another's.
"""
# ruff: noqa: PLC0415  see above

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

AddArguments = Callable[[argparse.ArgumentParser], None]


class LazyParser(argparse.ArgumentParser):
    """A parser that gets its arguments when it is first used."""

    def __init__(self, *, add_arguments: AddArguments | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._add_arguments = add_arguments

    def complete(self) -> None:
        """Add the arguments, unless that was done."""
        add_arguments, self._add_arguments = self._add_arguments, None
        if add_arguments is not None:
            add_arguments(self)

    def parse_known_args(self, *arguments: Any, **options: Any) -> Any:
        """Parse, as argparse does for a chosen command and for its `--help`."""
        self.complete()
        return super().parse_known_args(*arguments, **options)


def _up(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import up

    up.add_arguments(parser)


def _segment(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import segment

    segment.add_arguments(parser)


def _evaluate(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import evaluate

    evaluate.add_arguments(parser)


def _models(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import models

    models.add_arguments(parser)


def _bench(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import bench

    bench.add_arguments(parser)


def _export(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import export

    export.add_arguments(parser)


def _import_onnx(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import import_onnx

    import_onnx.add_arguments(parser)


def _corpus(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import corpus

    corpus.add_arguments(parser)


def _score(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import score

    score.add_arguments(parser)


def _units(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import units

    units.add_arguments(parser)


def _prove(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import prove

    prove.add_arguments(parser)


def _audit(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import audit

    audit.add_arguments(parser)


def _claims(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import claims

    claims.add_arguments(parser)


def _jobs(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import jobs

    jobs.add_arguments(parser)


def _compare(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import compare

    compare.add_arguments(parser)


def _site(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import site

    site.add_arguments(parser)


def _rank(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import rank

    rank.add_arguments(parser)


def _search(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import search

    search.add_arguments(parser)


def _register(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import register

    register.add_arguments(parser)


def _token(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import token

    token.add_arguments(parser)


def _backup(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import backup

    backup.add_backup_arguments(parser)


def _restore(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import backup

    backup.add_restore_arguments(parser)


def _demo(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands import demo

    demo.add_arguments(parser)


COMMANDS: dict[str, tuple[str, AddArguments]] = {
    "up": ("run all three services on loopback until Ctrl-C", _up),
    "segment": ("label every pixel of an image", _segment),
    "evaluate": ("mean IoU and accuracies of a model on images with masks", _evaluate),
    "models": ("list the models of a running service, and change what it serves", _models),
    "bench": ("how fast a segmentation model is here, by MLPerf's scenarios", _bench),
    "export": ("write a SegFormer as ONNX, checked against its source", _export),
    "import-onnx": ("write a ready ONNX segmenter as a model that is served", _import_onnx),
    "corpus": ("stream and describe a corpus, measure its storage", _corpus),
    "score": ("bits per byte of a language model, by subset", _score),
    "units": (
        "bits per byte on several machines: score ranges of frames, merge the results",
        _units,
    ),
    "prove": ("verify a proof of bits per byte that `assay score --prove` wrote", _prove),
    "audit": ("say whether a published figure can be right", _audit),
    "claims": ("verify what is claimed of an artifact", _claims),
    "jobs": ("submit, list, follow and cancel verifications", _jobs),
    "compare": ("two artifacts side by side, from evidence", _compare),
    "site": ("write every page of the ranker into a folder", _site),
    "rank": ("scores of artifacts, in groups that the evidence tells apart", _rank),
    "search": ("capabilities that serve a wish, and why they match", _search),
    "register": ("check a manifest and register its artifact", _register),
    "token": ("make a bearer token, and the line that lets a service accept it", _token),
    "backup": ("copy the ranker's database, in use or not", _backup),
    "restore": ("put a copy in the place of the ranker's database", _restore),
    "demo": ("the main job, end to end, on this machine", _demo),
}
"""Each command: a line of help, and what adds its arguments."""
