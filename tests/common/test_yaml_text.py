"""YAML as manifests may be written in it, and what would stop or end a server that reads it."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.common.yaml_text import parse_yaml

LARGEST = 64 << 10


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # Minutes of work for a reader in Python, and the end of the process for one in C.
        (b"a: [" + b"1," * (LARGEST // 2) + b"1]", r"more than 10,000 values, at line 1"),
        (b"[" * (LARGEST // 2) + b"]" * (LARGEST // 2), r"nests more than 40 levels deep, at line"),
        (b"{a: " * 10_000 + b"1" + b"}" * 10_000, r"nests more than 40 levels deep"),
        (b"a: &x [1]\nb: *x\n", r"no aliases, at line 2, column 4"),
        (b"a: 1\na: 2\n", r"'a' appears twice"),
        (b"!!python/object/apply:os.system [x]", r"no tags such as .*, at line 1"),
        (b"a: !!timestamp 99999-01-01", r"no tags such as .*, at line 1, column 4"),
        (b'a: "\\ud800"', r"escape|unicode|Unicode|character"),
        (b"\xff\xfe", r"decode"),
        (b"a: [1", r"expected"),
    ],
)
def test_what_no_manifest_needs_is_refused(text: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_yaml(text)


def test_numbers_to_the_base_of_8_are_text() -> None:
    """Who writes 0150 means 150, and YAML 1.1 reads 104."""
    read = parse_yaml(b"[0150, -07, 0, 10, 0.5, 1_000, 0899]")
    assert read == ["0150", "-07", 0, 10, 0.5, 1000, "0899"]


def test_numbers_to_the_base_of_60_are_text() -> None:
    assert parse_yaml(b"time: 12:30\nratio: 1:2:3.5\ncount: 12\n") == {
        "time": "12:30",
        "ratio": "1:2:3.5",
        "count": 12,
    }
    long = b"1:" * (LARGEST // 2 - 8) + b"1"
    assert parse_yaml(b"a: " + long) == {"a": long.decode()}


@pytest.mark.parametrize("digits", ["9" * LARGEST, "0x" + "F" * 9_000, "0b" + "1" * 20_000])
def test_numbers_that_python_does_not_print_are_text(digits: str) -> None:
    assert parse_yaml(f"a: {digits}\nb: 0x1F".encode()) == {"a": digits, "b": 31}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
def test_what_yaml_writes_is_read(value: object) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=True)
    assert parse_yaml(text.encode()) == yaml.safe_load(text)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_value_or_a_value_error(text: bytes) -> None:
    try:
        parse_yaml(text)
    except ValueError as error:
        told = str(error)  # any other exception is a failure
    else:
        told = "a value"
    assert told
