"""Every page as a file: whole, linked with the others, safe from the ids of a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from assay_rpc.ranker.v1 import artifact_pb2

from services.errors import InvalidArgument
from services.ranker.web.reads import Reads, of_stub
from tests.ranker.conftest import Ranker
from tests.ranker.web.pages import Checked

site = pytest.importorskip("services.ranker.web.site", reason="the extra `page` is not installed")


@pytest.mark.slow
async def test_a_folder_has_every_page_and_every_link_leads_to_a_file(
    ranker: Ranker, tmp_path: Path
) -> None:
    stub = await ranker.start()
    await ranker.verify("the-pile", "P1.3", "P5.1")
    folder = tmp_path / "out"
    written = await site.write(Reads(of_stub(stub, 30)), folder, lambda _: None)
    files = [one for one in folder.rglob("*") if one.is_file()]
    assert written.files == len(files)
    assert {"index.html", "methodology.html"} <= {one.name for one in files}
    assert (folder / "claims" / "the-pile" / "P1.3.html").is_file()
    assert (folder / "pages" / "page.html").is_file()
    assert list((folder / "evidence").iterdir())
    links = 0
    for file in files:
        page = Checked(file.read_text("utf-8"))
        for link in page.values("href"):
            if link.startswith(("http://", "https://")):
                continue
            target, _, anchor = link.partition("#")
            links += 1
            if target:
                assert (file.parent / target).resolve().is_file(), (file, link)
            else:
                assert anchor in {"main", *page.values("id")}
    assert links > len(files)


async def test_an_id_of_a_server_is_no_path(tmp_path: Path) -> None:
    async def call(method: str, request: Any) -> Any:
        assert method == "ListArtifacts"
        return artifact_pb2.ListArtifactsResponse(
            artifacts=[artifact_pb2.ArtifactSummary(id="../../outside")]
        )

    with pytest.raises(InvalidArgument, match="cannot be a file's name"):
        await site.write(Reads(call), tmp_path / "out", lambda _: None)
    assert not (tmp_path / "out").exists()
