"""What the documents name exists: commands, variables, make targets, paths, links."""

import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.__main__ import parser
from services.cli.commands import COMMANDS
from services.cli.connections.remote import Config
from services.rpc.settings import ServerSettings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
PROSE = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
VARIABLE = re.compile(r"\bASSAY_[A-Z_]*[A-Z]\b")
TARGET = re.compile(r"\bmake ([a-z][a-z-]*)\b")
OUR_FOLDERS = ("protos/", "services/", "deploy/", "tests/", "benchmarks/", "docs/", "requirements/")


def snippets(text: str) -> Iterator[str]:
    """Every piece of code in a document: lines of fenced blocks, and spans in prose."""
    for block in FENCE.findall(text):
        yield from block.replace("\\\n", " ").splitlines()
    yield from PROSE.findall(FENCE.sub("", text))


def commands(text: str) -> list[list[str]]:
    """Command lines of `assay` in the fenced blocks of a document."""
    lines = [
        line.strip().removeprefix("$ ").partition("  #")[0]
        for block in FENCE.findall(text)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [shlex.split(line)[1:] for line in lines if line.startswith("assay ")]


@pytest.fixture(params=DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def document(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def known_variables() -> set[str]:
    names = {"ASSAY_HOME", "ASSAY_TEST_DATA", "ASSAY_TEST_RAY"}
    # The settings page writes SERVICE for a service's name.
    names |= {f"ASSAY_SERVICE_{field}".upper() for field in ServerSettings.model_fields}
    names |= {f"ASSAY_{key}".upper() for key in Config.model_fields}
    names |= {"ASSAY_TOKEN", "ASSAY_CONFIG"}
    for service in ("segment", "corpus", "ranker"):
        module = importlib.import_module(f"services.{service}.settings")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, ServerSettings):
                prefix = str(value.model_config.get("env_prefix", ""))
                names |= {f"{prefix}{field}".upper() for field in value.model_fields}
    return names


def test_commands_parse(document: Path) -> None:
    for words in commands(document.read_text("utf-8")):
        parser().parse_args(words)


def test_commands_named_in_prose_exist(document: Path) -> None:
    known = set(COMMANDS)
    for span in PROSE.findall(FENCE.sub("", document.read_text("utf-8"))):
        if span.startswith("assay ") and not span.startswith("assay --"):
            assert span.split()[1] in known, span


def test_variables_exist(document: Path) -> None:
    assert set(VARIABLE.findall(document.read_text("utf-8"))) <= known_variables()


def test_make_targets_exist(document: Path) -> None:
    code = "\n".join(snippets(document.read_text("utf-8")))
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(TARGET.findall(code)) <= targets


def test_paths_exist(document: Path) -> None:
    for snippet in snippets(document.read_text("utf-8")):
        path = snippet.strip().rstrip("/")
        if path.startswith(OUR_FOLDERS) and re.fullmatch(r"[\w./-]+", path):
            if re.search(r"[A-Z]{4,}", path.removesuffix("MODEL_CARD.md")) or "NNNN" in path:
                continue  # a pattern such as services/SERVICE/settings.py
            assert (ROOT / path).exists(), path


def test_links_resolve(document: Path) -> None:
    for link in LINK.findall(document.read_text("utf-8")):
        assert (document.parent / link).exists(), link


def test_the_readme_has_commands_to_check() -> None:
    assert len(commands((ROOT / "README.md").read_text("utf-8"))) >= 5


@pytest.mark.parametrize(
    ("script", "page"),
    [
        ("settings_table", "settings"),
        ("commands_page", "commands"),
        ("contract_page", "contract"),
        ("methods_page", "methods"),
    ],
)
def test_a_page_of_reference_is_that_of_the_code(script: str, page: str) -> None:
    """`python docs/SCRIPT.py > docs/PAGE.md` writes it."""
    printed = subprocess.run(
        [sys.executable, str(ROOT / "docs" / f"{script}.py")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert (ROOT / "docs" / f"{page}.md").read_text("utf-8") == printed
