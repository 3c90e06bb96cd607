"""What private services are told to serve."""

import json
from pathlib import Path

import pytest

from services.cli.arguments import model_inventory, shards_inventory
from services.cli.inventory import Inventory, home, licenses_of
from services.errors import InvalidArgument


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ASSAY_SEGMENT_MODELS", raising=False)


def test_nothing_given_leaves_the_services_to_their_defaults() -> None:
    assert Inventory().environment() == {"ASSAY_HOME": str(home())}


def test_models_left_by_earlier_commands_are_served() -> None:
    (home() / "models" / "m").mkdir(parents=True)
    variables = Inventory().environment()
    assert json.loads(variables["ASSAY_SEGMENT_MODELS"]) == [str(home() / "models")]


def test_the_environment_goes_before_what_earlier_commands_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (home() / "models").mkdir(parents=True)
    monkeypatch.setenv("ASSAY_SEGMENT_MODELS", '["/elsewhere"]')
    assert "ASSAY_SEGMENT_MODELS" not in Inventory().environment()


def test_folders_of_the_command_line(tmp_path: Path) -> None:
    corpora = json.loads(shards_inventory(str(tmp_path)).environment()["ASSAY_CORPUS_CORPORA"])
    assert corpora["local"]["path"] == str(tmp_path)
    assert corpora["local"]["kind"] == "sample"
    with pytest.raises(InvalidArgument, match=r"--shards: .*nowhere is not a folder"):
        shards_inventory(str(tmp_path / "nowhere"))


def test_a_registered_name_is_no_folder() -> None:
    assert model_inventory("segformer-reference") == Inventory()


def test_only_research_licences_need_accepting(tmp_path: Path) -> None:
    for name, license_id, research_only in (("a", "Apache-2.0", False), ("b", "R-only", True)):
        folder = tmp_path / name
        folder.mkdir()
        manifest = {"license": {"id": license_id, "research_only": research_only}}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    assert licenses_of([tmp_path]) == ["R-only"]
    assert licenses_of([tmp_path / "a"]) == []
    (tmp_path / "a" / "manifest.json").write_text("not json")
    assert licenses_of([tmp_path / "a"]) == []
