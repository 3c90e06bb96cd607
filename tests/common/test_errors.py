"""What an error says of a name that does not exist."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest

from services import errors
from services.corpus.shards.formats import Unreadable
from services.corpus.shards.frames import DamagedFrame
from services.corpus.storage.objects import ObjectNotFound
from services.errors import AssayError, NotFound, nearest

KNOWN = ["gpt2", "segformer-b0-finetuned", "segformer-b4-finetuned", "the-pile"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("gpt-2", ["gpt2"]),
        ("The-Plie", ["the-pile"]),
        ("segformer-b4", ["segformer-b4-finetuned"]),
        ("resnet", []),
        ("", []),
    ],
)
def test_a_slip_is_told_what_may_be_meant(name: str, meant: list[str]) -> None:
    assert nearest(name, KNOWN) == meant


def test_a_name_too_long_to_be_a_slip_is_compared_with_none() -> None:
    long = "the-pile" * 500_000
    assert nearest(long, [*KNOWN, long]) == []
    told = str(NotFound("artifact", long, KNOWN))
    assert len(told) < 1000
    assert "known: gpt2" in told


@pytest.mark.parametrize(
    "kind",
    [
        *(one for _, one in inspect.getmembers(errors, inspect.isclass) if AssayError in one.mro()),
        Unreadable,
        DamagedFrame,
        ObjectNotFound,
    ],
)
def test_every_error_comes_whole_out_of_another_process(kind: Any) -> None:
    """A process pool takes one that does not for the end of the process."""
    values = {"str": "of it", "int": 3, "float": 2.5, "Iterable[str] | None": ["a"]}
    own = inspect.isfunction(kind.__init__)  # and not that of every exception
    asked = list(inspect.signature(kind).parameters.values()) if own else []
    given = [values[str(one.annotation)] for one in asked if one.kind is one.POSITIONAL_OR_KEYWORD]
    error = kind(*given or ["message"])
    told = pickle.loads(pickle.dumps(error))  # noqa: S301  its own bytes
    assert type(told) is kind
    assert str(told) == str(error)
    assert vars(told) == vars(error)
