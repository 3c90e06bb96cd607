"""Texts for users keep to docs/style.md: its words that are not used are in none of them."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.__main__ import parser
from services.cli.parsing import completed
from services.common.percent import percent

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = re.compile(
    r"\(asked\b|\basked: |\bare asked\b|\bat hand\b|\bunless told\b|\bnot separable\b"
    r"|\bstands in\b|\bwhoever\b|\bin vain\b|\bwish(?:es)?\b|\bnobody has read\b|\bor mend\b"
    r"|\b(?:is|was|were) asked for\b|\b(?:is|models are) wanted\b|\bcounts? for nothing\b"
    r"|\bis there twice\b|\bpassed over\b|\bin the place of\b|\bgo(?:es)? on where\b|\blet go of\b"
    r"|\bby itself\b|\bwithout more\b|\bwhat there is\b|\b(?:is|are) not looked at\b"
    r"|\bgives? (?:\w+ ){0,3}back\b|\bspeaks? of\b|\bbad moment\b|\bwho waits\b|\b(?:is|are) away\b"
    r"|(?<!there )\bis no (?:token|number|text|mapping|state|document)\b|\bare no documents\b"
    r"|\bfault of the product\b|\bslow hour\b|\bwas there\b|\bserves? (?:this|a) wish\b"
    r"|(?<![\d,.])1 (?:claims|documents|shards|pictures|files|units|threads)\b",
    re.IGNORECASE,
)
INDIRECT = re.compile(
    r"\bof late\b|\banew\b|\bfor ever\b|\bwhole or not at all\b|\bwhat became of\b"
    r"|\bgiven back\b",
    re.IGNORECASE,
)
"""Phrases of no help, message or document; a manifest's digest would change with its words."""
OWN_PERCENT = re.compile(r":[+\d{}a-z]*\.(?:\d|\{\w+\})%\}")
DEFAULT = re.compile(r"^[^.]* without it$|[\w'] without it(?:;|$)")
"""How a default is not said in help; in prose "without it" may well be right."""
DATASET = re.compile(r"\bdata sets?\b", re.IGNORECASE)
"""Two spellings of one word; a registered manifest may quote either."""
PROGRAMS = sorted(
    one
    for folder in ("services", "protos/assay_rpc")
    for one in (ROOT / folder).rglob("*.py")
    if "_pb2" not in one.name
)
MANIFESTS = sorted((ROOT / "services" / "ranker").rglob("*.yaml"))
TEMPLATES = sorted((ROOT / "services" / "ranker" / "web" / "templates").rglob("*.html"))
DOCUMENTS = [
    *(ROOT / one for one in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(ROOT / one / "README.md" for one in ("benchmarks", "deploy")),
    *sorted((ROOT / "docs").glob("*.md")),
]


def helps(of: argparse.ArgumentParser) -> Iterator[str]:
    """Everything that --help prints of a command and its actions."""
    yield from filter(None, (of.description, of.epilog))
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from (one.help or "" for one in action._choices_actions)
            for chosen in action.choices.values():
                yield from helps(chosen)
        elif action.help and action.help != argparse.SUPPRESS:
            yield action.help


def strings(path: Path) -> Iterator[str]:
    """The literals of a program that are no docstrings, of modules, classes, functions or names."""
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            yield node.value if isinstance(node.value, str) else ""


def test_help_keeps_to_the_style() -> None:
    said = list(helps(completed(parser())))
    assert len(said) > 150
    assert not [text for text in said if FORBIDDEN.search(text) or DEFAULT.search(text)]
    assert not [text for text in said if DATASET.search(text) or INDIRECT.search(text)]


@pytest.mark.slow
def test_messages_keep_to_the_style() -> None:
    found = {
        path: [one for one in strings(path) if FORBIDDEN.search(one) or INDIRECT.search(one)]
        for path in PROGRAMS
    }
    assert not {path: texts for path, texts in found.items() if texts}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_manifests_keep_to_the_style(path: Path) -> None:
    assert not FORBIDDEN.findall(path.read_text("utf-8"))


def test_a_percentage_has_a_blank_before_its_sign() -> None:
    """So no text is formatted by Python's own `%`, which has none; `percent` writes it."""
    written = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "services").rglob("*.py")
        if OWN_PERCENT.search(path.read_text("utf-8"))
    }
    assert written == {"services/common/percent.py"}
    assert not [path for path in DOCUMENTS if re.search(r"\d%", path.read_text("utf-8"))]
    assert percent(0.6423, 1) == "64.2 %"
    assert percent(0.5) == "50 %"
    assert percent(0.5, 2, sign="+") == "+50.00 %"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_pages_keep_to_the_style(path: Path) -> None:
    assert not FORBIDDEN.findall(path.read_text("utf-8"))
    assert not DATASET.findall(path.read_text("utf-8"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_keep_to_the_style(path: Path) -> None:
    text = path.read_text("utf-8")
    if path.name == "style.md":  # which lists them
        text = text.partition("| not | but |")[0]
        text = re.sub(r'"[^"]*"', "", text)
    for forbidden in (FORBIDDEN, DATASET, INDIRECT):
        assert not forbidden.findall(text)


@pytest.mark.parametrize(
    "text",
    [
        "10 unless told",
        "1 claims",
        "pictures at hand",
        "0.996 (asked: 0.99)",
        "was there",
        "whoever calls it",
        "what is wanted",
        "cuda was asked for",
        "the key 'a' is there twice",
        "17 lines are no documents",
        "the tokenizer does not give back the text",
        "a build goes on where it was",
        "each document by itself",
    ],
)
def test_the_test_would_see_it(text: str) -> None:
    assert FORBIDDEN.search(text)
    assert INDIRECT.search("the help is written anew, and what became of it")
    assert DATASET.search("Data sets")
    assert not DATASET.search("datasets")
    assert DEFAULT.search("the model's without it")
    assert not FORBIDDEN.search("default: 10; 11 claims; 1,001 claims; the service asked twice")
