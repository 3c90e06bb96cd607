"""Takes docs/images/comparison.webp from the running product: python docs/screenshot.py.

Compares the registered page's two artifacts from the evidence that `make demo` left, and
photographs the page with chromium.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

PICTURE = Path(__file__).with_name("images") / "comparison.webp"
SIDES = ("segformer-b4-finetuned-ade-512-512", "the-pile")
_SIZE = (1100, 900)


def main() -> None:
    """Writes the picture. Raises FileNotFoundError without chromium."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise FileNotFoundError("chromium is not on PATH")
    with tempfile.TemporaryDirectory() as scratch:
        page, shot = Path(scratch) / "page.html", Path(scratch) / "shot.png"
        photograph(browser, page_of(SIDES, page), shot)
        with Image.open(shot) as taken:
            taken.convert("RGB").save(PICTURE, "WEBP", quality=70, method=6)


def page_of(sides: tuple[str, str], page: Path) -> Path:
    """Writes the comparison of two artifacts as one HTML file, as `assay compare` does."""
    command = [sys.executable, "-m", "services.cli", "compare", *sides]
    subprocess.run(  # noqa: S603 - this interpreter, and names from above
        [*command, "--no-verify", "--html", str(page)], check=True, stdout=subprocess.DEVNULL
    )
    return page


def photograph(browser: str, page: Path, shot: Path) -> None:
    """Writes what the browser shows of a page, from its top."""
    subprocess.run(  # noqa: S603 - found on PATH
        [
            browser,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--window-size={_SIZE[0]},{_SIZE[1]}",
            f"--screenshot={shot}",
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
    )


if __name__ == "__main__":
    main()
