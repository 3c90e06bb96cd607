"""What private services are told to serve."""

import argparse
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from assay_rpc.common.v1 import common_pb2

from services.cli.connections import processes
from services.cli.connections.connection import Connection
from services.cli.connections.inventory import Inventory, home, licenses_of, logs
from services.cli.connections.remote import running_address
from services.cli.connections.running import announced, announced_address
from services.cli.models import language_model, segment_model
from services.cli.shards import add_shards, corpus_ref, shards_inventory
from services.corpus.settings import CorpusEntry
from services.corpus.shards.formats import Keys, Reading
from services.errors import InvalidArgument, NotFound, PreconditionFailed
from tests.corpus.shard_files import line, write_corpus


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    for variable in ("ASSAY_SEGMENT_MODELS", "ASSAY_CORPUS_LANGUAGE_MODELS"):
        monkeypatch.delenv(variable, raising=False)
    for service in ("CORPUS", "SEGMENT"):
        monkeypatch.delenv(f"ASSAY_{service}_ADDR", raising=False)


def test_nothing_given_leaves_the_services_to_their_defaults() -> None:
    assert Inventory().environment() == {"ASSAY_HOME": str(home())}


def test_what_an_earlier_command_kept_is_served_again(tmp_path: Path) -> None:
    kept = Inventory(models=[tmp_path / "m"], accepted_licenses=["R"])
    kept.keep()
    assert Inventory().environment() == kept.environment()
    other = Inventory(models=[tmp_path / "other"]).environment()
    assert json.loads(other["ASSAY_SEGMENT_MODELS"]) == [str(tmp_path / "other")]


def test_the_environment_goes_before_what_an_earlier_command_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Inventory(models=[tmp_path]).keep()
    monkeypatch.setenv("ASSAY_SEGMENT_MODELS", '["/elsewhere"]')
    assert "ASSAY_SEGMENT_MODELS" not in Inventory().environment()


def test_a_damaged_record_is_as_none() -> None:
    (home() / "serve.json").write_text("{not json")
    assert Inventory().environment() == {"ASSAY_HOME": str(home())}


async def test_a_running_service_takes_corpora_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may serve others under the name that they would get."""
    given = argparse.Namespace(shards=["pile"], corpus=None)
    async with Connection(Inventory()) as connection:
        assert (await corpus_ref(connection, given)).name == "local"
        mine = argparse.Namespace(shards=["mine=pile"], corpus=None)
        assert (await corpus_ref(connection, mine)).name == "mine"
        monkeypatch.setenv("ASSAY_CORPUS_ADDR", "127.0.0.1:1")
        with pytest.raises(InvalidArgument, match="--corpus, or unset"):
            await corpus_ref(connection, given)
        named = argparse.Namespace(shards=None, corpus="the-pile")
        assert (await corpus_ref(connection, named)).name == "the-pile"


def given(*arguments: str) -> argparse.Namespace:
    """What a command that takes --shards was given."""
    parser = argparse.ArgumentParser()
    add_shards(parser)
    return parser.parse_args([part for one in arguments for part in ("--shards", one)])


def test_how_files_are_read_goes_to_the_service(tmp_path: Path) -> None:
    write_corpus(tmp_path, {"test.jsonl": b"{}", "more.csv": b""})
    asked = given(str(tmp_path / "test.jsonl"))
    asked.text_key, asked.subset_key, asked.long, asked.every_file = "content", "lang", 31, True
    corpora = json.loads(shards_inventory(asked).environment()["ASSAY_CORPUS_CORPORA"])
    entry = CorpusEntry(**corpora["local"]).registration()
    assert entry.location == tmp_path / "test.jsonl"
    assert (entry.reading, entry.every_file) == (Reading(Keys("content", "", "lang"), 31), True)


def test_folders_of_the_command_line(tmp_path: Path) -> None:
    write_corpus(tmp_path, {"test.jsonl.zst": [line("one")]})
    corpora = json.loads(
        shards_inventory(given(str(tmp_path))).environment()["ASSAY_CORPUS_CORPORA"]
    )
    assert corpora["local"]["path"] == str(tmp_path)
    assert corpora["local"]["kind"] == "sample"
    with pytest.raises(FileNotFoundError, match=r"--shards: .*nowhere does not exist"):
        shards_inventory(given(str(tmp_path / "nowhere")))


def test_urls_of_the_command_line() -> None:
    def path(*shards: str) -> object:
        inventory = shards_inventory(given(*shards))
        corpora = json.loads(inventory.environment()["ASSAY_CORPUS_CORPORA"])
        assert "hidden" not in corpora["local"]["source"]
        return corpora["local"]["path"]

    assert path("s3://bucket/pile") == "s3://bucket/pile"
    assert path("https://u:hidden@h/pile?t=hidden") == "https://u:hidden@h/pile?t=hidden"
    assert path("https://h/test.jsonl.zst") == ["https://h/test.jsonl.zst"]
    assert path("https://h/a", "https://h/b") == ["https://h/a", "https://h/b"]
    with pytest.raises(InvalidArgument, match="URLs of shards"):
        shards_inventory(given("a", "b"))


def test_corpora_have_the_names_that_they_are_given(tmp_path: Path) -> None:
    for name in ("a", "b=c"):
        write_corpus(tmp_path / name, {"test.jsonl.zst": [line(name)]})
    several = given(f"mine={tmp_path / 'a'}", str(tmp_path / "b=c"))
    corpora = json.loads(shards_inventory(several).environment()["ASSAY_CORPUS_CORPORA"])
    assert {name: entry["path"] for name, entry in corpora.items()} == {
        "mine": str(tmp_path / "a"),
        "local": str(tmp_path / "b=c"),
    }


def test_a_registered_name_is_no_folder() -> None:
    assert segment_model("segformer-reference") == (
        Inventory(),
        common_pb2.ModelRef(name="segformer-reference"),
    )


def test_a_name_that_is_also_a_folder_is_the_running_services(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    folders: dict[str, Path] = {}
    assert language_model("--model", "mine", folders) == "mine"
    assert folders == {"mine": tmp_path / "mine"}
    for service in ("CORPUS", "SEGMENT"):
        monkeypatch.setenv(f"ASSAY_{service}_ADDR", "127.0.0.1:1")
    assert language_model("--model", "mine", {}) == "mine"
    assert language_model("--model", None, {}) == ""
    assert segment_model("mine") == (Inventory(), common_pb2.ModelRef(name="mine"))
    with pytest.raises(InvalidArgument, match="names a running service"):
        language_model("--model", str(tmp_path / "mine"), {})


def test_an_id_of_the_hub_is_refused_with_the_command_that_gets_it() -> None:
    with pytest.raises(FileNotFoundError, match="hf download some/model --local-dir model"):
        language_model("--model", "some/model", {})
    with pytest.raises(FileNotFoundError, match="export --checkpoint some/model"):
        segment_model("some/model")


@pytest.mark.parametrize("given", ["models/none", "datasets/none", "spaces/none"])
def test_a_word_that_the_hub_keeps_for_itself_is_no_account(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for named in (segment_model, lambda one: language_model("--model", one, {})):
        with pytest.raises(FileNotFoundError, match=f"^--model: {given} does not exist$"):
            named(given)


def test_an_unknown_language_model_is_refused_before_a_service_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(NotFound, match=r"`hf download gpt2 --local-dir gpt2`.*known: byte-ref"):
        language_model("--model", "gpt2", {})
    for known in ("byte-reference", "xz", "zstd-19"):
        assert language_model("--model", known, {}) == known
    Inventory(language_models={"kept": Path("/m")}).keep()
    assert language_model("--model", "kept", {}) == "kept"
    monkeypatch.setenv("ASSAY_CORPUS_LANGUAGE_MODELS", '{"gpt2": "/m"}')
    assert language_model("--model", "gpt2", {}) == "gpt2"
    monkeypatch.setenv("ASSAY_CORPUS_LANGUAGE_MODELS", "{")  # the service says what is wrong
    assert language_model("--model", "any", {}) == "any"
    monkeypatch.setenv("ASSAY_CORPUS_ADDR", "127.0.0.1:1")
    assert language_model("--model", "other", {}) == "other"


def test_the_known_language_models_are_those_of_the_service() -> None:
    registry = pytest.importorskip("services.corpus.bpb.models.registry")
    for name in (registry.REFERENCE, *registry.COMPRESSORS):
        assert language_model("--model", name, {}) == name
    assert language_model("--model", None, {}) == registry.REFERENCE


def test_a_folder_in_one_that_exists_is_no_id_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "mine").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"models/min does not exist; .* models/mine"):
        segment_model("models/min")


def test_what_runs_is_found_until_it_ends() -> None:
    assert announced_address("ranker") is None
    with announced({"ranker": "127.0.0.1:7"}):
        assert announced_address("ranker") == "127.0.0.1:7"
        assert announced_address("segment") is None
    assert announced_address("ranker") is None
    (home() / "running.json").write_text('{"ranker": "127.0.0.1:8"}')  # of one that was killed
    assert announced_address("ranker") is None


async def test_the_ranker_that_runs_is_used(tmp_path: Path) -> None:
    with announced({"ranker": "127.0.0.1:7"}):
        async with Connection(Inventory(), measures=False) as connection:
            assert await connection.address("ranker") == "127.0.0.1:7"
        async with Connection(Inventory(models=[tmp_path])) as connection:
            with pytest.raises(PreconditionFailed, match=r"leave out --model$"):
                await connection.address("ranker")


async def test_segment_and_corpus_that_run_are_used_beside_the_ranker_or_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def started(name: str, *_: object) -> processes.ServiceProcess:
        process = SimpleNamespace(returncode=0)
        return processes.ServiceProcess(name, "127.0.0.1:1", process, tmp_path)  # type: ignore[arg-type]

    monkeypatch.setattr(processes, "start", started)
    runs = {"segment": "127.0.0.1:8", "corpus": "127.0.0.1:9"}
    with announced(runs):
        async with Connection(Inventory(), beside_up=True) as connection:
            assert [await connection.address(one) for one in runs] == list(runs.values())
        async with Connection(Inventory(models=[tmp_path]), beside_up=True) as connection:
            assert await connection.address("segment") == "127.0.0.1:1"
        assert "not used" not in capsys.readouterr().err
        async with Connection(Inventory()) as connection:
            assert await connection.address("segment") == "127.0.0.1:1"
    said = capsys.readouterr().err
    assert "To use it: export ASSAY_SEGMENT_ADDR=127.0.0.1:8" in said


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


@pytest.mark.parametrize("research_only", [True, False])
def test_a_licence_that_nobody_stated_is_not_called_one_for_research(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], research_only: bool
) -> None:
    manifest = {"license": {"id": "LicenseRef-Unknown", "research_only": research_only}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    inventory, _ = segment_model(str(tmp_path))
    assert inventory.accepted_licenses == ["LicenseRef-Unknown"]
    said = capsys.readouterr().err
    assert "the weights state no licence: check whether you may use them" in said
    assert "research" not in said


def test_the_demonstration_model_is_called_that(capsys: pytest.CaptureFixture[str]) -> None:
    _, model = segment_model(None)
    assert model.name == "segformer-reference"
    said = capsys.readouterr().err
    assert "small demonstration model, trained on drawn scenes" in said
    assert "assay export --checkpoint nvidia/segformer-b0-finetuned-ade-512-512 --out" in said
    segment_model("segformer-reference")  # whoever names it knows
    assert capsys.readouterr().err == ""


def test_a_service_with_models_of_its_own_is_asked_for_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_SEGMENT_ADDR", "127.0.0.1:1")
    assert segment_model(None)[1].name == ""
    assert segment_model("mine")[1].name == "mine"
    monkeypatch.delenv("ASSAY_SEGMENT_ADDR")
    monkeypatch.setenv("ASSAY_SEGMENT_MODELS", '["/elsewhere"]')
    assert segment_model(None)[1].name == ""
    monkeypatch.delenv("ASSAY_SEGMENT_MODELS")
    Inventory(models=[tmp_path]).keep()
    assert segment_model(None)[1].name == ""
    assert capsys.readouterr().err == ""


def test_what_was_given_is_named_by_its_options(tmp_path: Path) -> None:
    given = Inventory(models=[tmp_path], accepted_licenses=["MIT"], pictures=tmp_path).given()
    assert given == ["--model", "--pictures"]
    assert Inventory().given() == []


def test_an_empty_home_variable_is_not_the_root_of_the_file_system(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ASSAY_HOME")
    monkeypatch.setenv("HOME", "")
    entry = SimpleNamespace(pw_dir=str(tmp_path))
    monkeypatch.setattr("pwd.getpwuid", lambda _: entry)
    assert home() == (tmp_path / ".local" / "share" / "assay").resolve()


def test_a_user_without_a_home_is_shown_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASSAY_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_000)
    with pytest.raises(PreconditionFailed, match=r"4000000000 has no entry.*set ASSAY_HOME"):
        home()


def test_a_home_that_cannot_be_made_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(PreconditionFailed, match="cannot be made: not a directory; set ASSAY_HOME"):
        home()
    assert announced_address("ranker") is None


def test_a_home_that_is_read_only_is_refused_before_a_service_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(PreconditionFailed, match=r"nothing can be written to .*; set ASSAY_HOME"):
        logs()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("http://localhost:50051", "is a URL: give host:port alone, as 'localhost:50051'"),
        ("https://me:secret@segment/", "as 'localhost:50051'"),
        ("https://me:secret@segment:1/?x", "as 'segment:1'"),
        ("localhost", "is not host:port"),
        ("localhost:", "is not host:port"),
        ("localhost:50051/", "is not host:port"),
        ("localhost:99999", "ports are 1 to 65,535"),
        ("10.0.0.1:50051, 10.0.0.2:50051", "as 'ipv4:10.0.0.1:50051,10.0.0.2:50051'"),
        ("a:1,b:2", "give a DNS name that has them all as host:port"),
    ],
)
def test_what_is_no_address_is_refused_at_once_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, given: str, told: str
) -> None:
    monkeypatch.setenv("ASSAY_SEGMENT_ADDR", given)
    with pytest.raises(InvalidArgument) as error:
        running_address("segment")
    assert str(error.value).startswith("ASSAY_SEGMENT_ADDR: ")
    assert told in str(error.value)
    assert "ipv4:a" not in str(error.value)


@pytest.mark.parametrize(
    "given",
    [
        *("localhost:50051", " segment.example.com:443 ", "[::1]:50051", "localhost:grpc"),
        *("dns:///segment:50051", "unix:/run/assay.sock", "ipv4:127.0.0.1:1,127.0.0.1:2"),
    ],
)
def test_an_address_is_what_grpc_resolves(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("ASSAY_SEGMENT_ADDR", given)
    assert running_address("segment") == given.strip()
