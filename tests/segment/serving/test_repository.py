"""Which models there are, and which one a request means."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.errors import (
    InvalidArgument,
    LicenseNotAccepted,
    NotFound,
    PreconditionFailed,
    Unavailable,
)
from services.segment.manifest import MANIFEST_FILE, MODEL_FILE
from services.segment.serving.repository import Repository, discover, version_key
from tests.segment.tiny_model import APACHE, RESEARCH, Tiny, write


def test_a_model_directory_and_folders_of_them_are_found(tmp_path: Path) -> None:
    write(tmp_path / "one", Tiny(name="one"))
    write(tmp_path / "many" / "two", Tiny(name="two"))
    write(tmp_path / "many" / "three" / "1", Tiny(name="three", version="1"))
    write(tmp_path / "many" / "three" / "2", Tiny(name="three", version="2"))
    repository = discover([tmp_path / "one", tmp_path / "many"])
    assert [model.key for model in repository] == [
        ("one", "1"), ("three", "1"), ("three", "2"), ("two", "1"),
    ]  # fmt: skip


def test_a_directory_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"no such directory.*assay export"):
        discover([tmp_path / "absent"])


def test_a_directory_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InvalidArgument, match=r"manifest.json and model.onnx.*assay export"):
        discover([tmp_path])


@pytest.mark.parametrize("lacking", [MANIFEST_FILE, MODEL_FILE])
def test_half_a_model(tmp_path: Path, lacking: str) -> None:
    (write(tmp_path / "folder" / "tiny") / lacking).unlink()
    with pytest.raises(InvalidArgument, match=f"{lacking} missing.*assay export"):
        discover([tmp_path / "folder"])


def test_two_different_models_of_one_name_and_version(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a"), write(tmp_path / "b", Tiny(seed=1))
    with pytest.raises(InvalidArgument, match=f"{second}.*{first}"):
        discover([first, second])
    assert len(list(discover([first, first]))) == 1


def test_an_empty_name_means_the_only_model(tmp_path: Path) -> None:
    write(tmp_path / "m" / "a", Tiny(name="a"))
    assert discover([tmp_path / "m"]).resolve("").key == ("a", "1")
    write(tmp_path / "m" / "b", Tiny(name="b"))
    with pytest.raises(InvalidArgument, match=r"say which of the models: a, b"):
        discover([tmp_path / "m"]).resolve("")


def test_an_empty_version_means_the_highest(tmp_path: Path) -> None:
    for version in ("9", "10", "1.2"):
        write(tmp_path / "tiny" / version, Tiny(version=version))
    repository = discover([tmp_path])
    assert repository.resolve("tiny").key == ("tiny", "10")
    assert repository.resolve("tiny", "9").key == ("tiny", "9")
    with pytest.raises(NotFound, match=r"'8'; known: 1.2, 10, 9"):
        repository.resolve("tiny", "8")


def test_versions_are_in_the_order_in_which_they_came() -> None:
    wanted = ["1-rc1", "1-rc2", "1-rc10", "1", "1.0-rc1", "1.0", "1.0.1", "1.2", "9", "9.10", "10"]
    assert sorted(set(wanted), key=version_key) == wanted


def test_a_release_candidate_is_not_the_default(tmp_path: Path) -> None:
    for version in ("1.0-rc1", "1.0", "0.9"):
        write(tmp_path / "tiny" / version, Tiny(version=version))
    repository = discover([tmp_path])
    assert repository.resolve("tiny").key == ("tiny", "1.0")
    assert [version for _, version in (model.key for model in repository)] == [
        "0.9", "1.0-rc1", "1.0",
    ]  # fmt: skip


def test_an_empty_name_means_the_only_model_that_is_served(tmp_path: Path) -> None:
    write(tmp_path / "a", Tiny(name="a"))
    write(tmp_path / "r", Tiny(name="r", license=RESEARCH))
    assert discover([tmp_path]).resolve("").key == ("a", "1")
    with pytest.raises(InvalidArgument, match=r"say which of the models: a, r"):
        discover([tmp_path], [RESEARCH.id]).resolve("")


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    write(tmp_path / "a", Tiny(name="a"))
    with pytest.raises(NotFound, match="no model named 'b'; known: a"):
        discover([tmp_path]).resolve("b")


def test_a_digest_is_a_precondition(tmp_path: Path) -> None:
    repository = discover([write(tmp_path / "a")])
    (model,) = repository
    assert repository.resolve("tiny", digest=model.digest) is model
    with pytest.raises(PreconditionFailed, match=model.digest):
        repository.resolve("tiny", digest="sha256:0")


def test_research_weights_need_their_licence_accepted(tmp_path: Path) -> None:
    directory = write(tmp_path / "a", Tiny(license=RESEARCH))
    with pytest.raises(LicenseNotAccepted, match=r"LicenseRef-Test.*ACCEPTED_LICENSES"):
        discover([directory], ["Another"]).resolve("tiny").require_accepted()
    discover([directory], [RESEARCH.id]).resolve("tiny").require_accepted()


def test_weights_without_a_stated_licence_are_not_called_research_weights(tmp_path: Path) -> None:
    terms = APACHE.replaced(id="LicenseRef-Unknown")
    directory = write(tmp_path / "a", Tiny(license=terms))
    with pytest.raises(LicenseNotAccepted, match=r"no licence is stated.*--license ID") as caught:
        discover([directory]).resolve("tiny").require_accepted()
    assert "research" not in str(caught.value)
    discover([directory], [terms.id]).resolve("tiny").require_accepted()


def test_without_any_model_a_caller_may_try_again() -> None:
    with pytest.raises(Unavailable, match="no model is served now"):
        Repository(()).resolve("")
