"""The pages in a real browser: widths, themes, keyboard, accessibility, console, live verdicts."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from importlib import metadata
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from assay_rpc.ranker.v1 import verification_pb2, verification_pb2_grpc

from services.ranker.web.pictures import ClassSeen, Seen
from services.ranker.web.report import report
from tests.ranker.conftest import Ranker
from tests.ranker.web.pages import reply

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH: apt install chromium"),
]

SERVED = all(map(find_spec, ("starlette", "uvicorn", "connectrpc")))
WIDTHS, THEMES = (360, 800, 1440), ("light", "dark")
MODEL, DATA_SET = "segformer-b4-finetuned-ade-512-512", "the-pile"
GOLDEN = Path(__file__).with_name("comparison.aria.txt")
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw=="
SEEN = Seen("a-model", "photo.jpg", PIXEL, PIXEL, (ClassSeen("sky", "#87ceeb", "90.0 %"),))


class Browser:
    """Opens pages, and fails on whatever a console or the network should not have had."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self.problems: list[str] = []

    async def open(self, address: str, width: int = 1440, theme: str = "light", **more: Any) -> Any:
        context = await self._browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, **more
        )
        page = await context.new_page()
        page.on("console", lambda one: self.problems.append(f"{one.type}: {one.text}"))
        page.on("pageerror", lambda one: self.problems.append(str(one)))
        page.on("request", lambda one: self._requested(one.url))
        await page.goto(address)
        return page

    def _requested(self, address: str) -> None:
        if not address.startswith(("http://127.0.0.1:", "file:", "data:")):
            self.problems.append(f"requested {address}")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with playwright.async_playwright() as started:
        launched = await started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        opened = Browser(launched)
        yield opened
        await launched.close()
        assert opened.problems == []


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Address of a comparison with one of everything, as one file."""
    page = tmp_path / "page.html"
    page.write_text(report(reply(), SEEN), encoding="utf-8")
    return page.as_uri()


@pytest.fixture
async def site(ranker: Ranker) -> str:
    """Address of a served site, some of whose claims were verified."""
    if not SERVED:
        pytest.skip("the extra `page` is not installed")
    await ranker.start(http_port=0, try_page=True)
    await ranker.verify(DATA_SET, "P1.3", "P5.1")
    assert ranker.server is not None
    return f"http://127.0.0.1:{ranker.server.http_port}"


async def fits(page: Any) -> bool:
    """Whether nothing is wider than the window."""
    found: bool = await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return found


async def test_one_file_fits_every_width_and_theme(browser: Browser, file: str) -> None:
    for width in WIDTHS:
        for theme in THEMES:
            page = await browser.open(file, width, theme)
            assert await fits(page), width
            background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert background, theme


async def test_served_pages_fit_every_width(browser: Browser, site: str) -> None:
    for path in (
        "/",
        f"/artifacts/{DATA_SET}",
        f"/comparisons/{MODEL}/{DATA_SET}",
        f"/claims/{DATA_SET}/P1.3",
        "/search?intent=label+pixels",
        "/methodology",
        "/verifications",
        "/try",
    ):
        for width, theme in zip(WIDTHS, ("dark", "light", "dark"), strict=True):
            page = await browser.open(site + path, width, theme)
            assert await fits(page), (path, width)


async def violations(page: Any) -> list[str]:
    source = files("axe_playwright_python") / "axe.min.js"
    await page.evaluate(source.read_text("utf-8"))
    found = await page.evaluate("axe.run().then(one => one.violations)")
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for one in found
        for node in one["nodes"]
    ]


@pytest.mark.skipif(find_spec("axe_playwright_python") is None, reason="axe is not installed")
async def test_there_is_no_barrier(browser: Browser, site: str, file: str) -> None:
    addresses = [
        file,
        *(
            site + path
            for path in (
                "/",
                f"/artifacts/{DATA_SET}",
                f"/comparisons/{MODEL}/{DATA_SET}",
                f"/claims/{DATA_SET}/P1.3",
                "/search?intent=label+pixels",
                "/methodology",
                "/try",
            )
        ),
    ]
    for address in addresses:
        for theme in THEMES:
            page = await browser.open(address, theme=theme, bypass_csp=True)
            await page.evaluate(
                "document.querySelectorAll('details').forEach(one => { one.open = true; })"
            )
            assert await violations(page) == [], (address, theme)


async def test_what_a_screen_reader_is_told(browser: Browser, file: str) -> None:
    page = await browser.open(file)
    told = await page.locator("body").aria_snapshot()
    told = told.replace(f"Assay {metadata.version('assay-services')} ", "Assay VERSION ")
    if os.environ.get("ASSAY_TEST_UPDATE"):
        GOLDEN.write_text(told + "\n", encoding="utf-8")
    assert told + "\n" == GOLDEN.read_text("utf-8")


async def test_the_keyboard_reaches_and_opens_everything(browser: Browser, file: str) -> None:
    page = await browser.open(file)
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    seen = set()
    for _ in range(60):
        await page.keyboard.press("Tab")
        name = await page.evaluate("document.activeElement.tagName")
        seen.add(name)
        if name == "SUMMARY":
            await page.keyboard.press("Enter")
        if await page.evaluate("document.querySelectorAll('.claim[open]').length"):
            break
    else:
        pytest.fail("no claim was opened")
    assert {"SUMMARY", "A", "INPUT"} <= seen


async def test_a_link_to_a_claim_unfolds_it(browser: Browser, file: str) -> None:
    page = await browser.open(file)
    await page.click(".refuted-claims a")
    assert await page.locator("#claim-a-C1").is_visible()


async def test_the_slider_moves_between_before_and_after(browser: Browser, file: str) -> None:
    page = await browser.open(file)
    await page.locator(".slider input").focus()
    await page.keyboard.press("Home")
    at = "document.querySelector('.before-after').style.getPropertyValue('--at')"
    assert await page.evaluate(at) == "0%"


async def test_everything_is_printed(browser: Browser, file: str) -> None:
    page = await browser.open(file)
    await page.emulate_media(media="print")
    await page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert await page.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    await page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert await page.evaluate("document.querySelectorAll('details[open]').length") == 0


async def test_it_works_without_scripts(browser: Browser, site: str) -> None:
    page = await browser.open(site + "/search", java_script_enabled=False)
    await page.fill("input[type=search]", "label every pixel")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/search?intent=*")
    assert await page.locator("#found li").count() > 0


async def test_search_answers_while_it_is_typed(browser: Browser, site: str) -> None:
    page = await browser.open(site + "/search")
    await page.type("input[type=search]", "label every pixel")
    await page.locator("#found .cards li").first.wait_for()
    assert "intent=label" in page.url


async def test_verdicts_appear_as_they_are_decided(
    browser: Browser, site: str, ranker: Ranker
) -> None:
    assert ranker.channel is not None
    stub = verification_pb2_grpc.VerificationServiceStub(ranker.channel)
    request = verification_pb2.SubmitVerificationRequest(artifact=DATA_SET, request_id="live")
    job = (await stub.SubmitVerification(request)).job
    page = await browser.open(f"{site}/verifications/{job.id}")
    await page.locator(".claim").nth(len(job.plan.claims) - 1).wait_for()
    assert await page.locator(".claim").count() == len(job.plan.claims)
