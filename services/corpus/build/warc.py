"""Documents of web archives: warcio reads the records, trafilatura or a plug-in finds the text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from services.corpus.build.steps.plugins import load_function
from services.errors import DataLoss, PreconditionFailed

TRAFILATURA = "trafilatura"
_MAX_PAGE_BYTES = 32 << 20
_HTML = ("text/html", "application/xhtml")

Extractor = Callable[[bytes, str], str | None]


def extractor_of(name: str) -> Extractor:
    """Return what finds the text of a page: trafilatura, or a function of `module:function`.

    It gets the page's bytes and its URL, and returns None if there is no text. Raises
    PreconditionFailed for what is not installed, and InvalidArgument for what is no function.
    """
    if name != TRAFILATURA:
        return load_function(name, "sources.extractor")
    try:
        import trafilatura  # noqa: PLC0415  the build extra
    except ImportError as error:
        raise _missing(error) from error

    def extract(page: bytes, url: str) -> str | None:
        text: str | None = trafilatura.extract(page, url=url or None)
        return text

    return extract


def read_warc(
    file: Path, name: str, extractor: str, missed: Callable[[str], None]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the text of each page and where it was. `missed` gets the reason if a record has none.

    Records of extracted text (WET) are taken as they are. Raises DataLoss at damage.
    """
    extract: Extractor | None = None
    for number, (offset, record, content) in enumerate(_records(file, name, missed)):
        if content is None:
            continue
        data, is_text = content
        url = record.rec_headers.get_header("WARC-Target-URI") or ""
        if is_text:
            text: str | None = data.decode("utf-8", "replace")
        else:
            extract = extract or extractor_of(extractor)
            text = extract(data, url)
        if not text or text.isspace():
            missed("no text on the page")
            continue
        date = record.rec_headers.get_header("WARC-Date") or ""
        yield text, {"record": number, "offset": offset, "url": url, "date": date}


_Content = tuple[bytes, bool] | None


def _records(
    file: Path, name: str, missed: Callable[[str], None]
) -> Iterator[tuple[int, Any, _Content]]:
    """Yield all records with their compressed offset and content. Raises DataLoss at damage."""
    try:
        from warcio.archiveiterator import ArchiveIterator  # noqa: PLC0415  the build extra
    except ImportError as error:
        raise _missing(error) from error
    offset = 0
    with file.open("rb") as stream, closing(ArchiveIterator(stream)) as archive:
        while True:
            try:
                record = next(archive)
                offset = archive.offset
                content = _content(record, missed)
                archive.read_to_end()
                cut_off = getattr(record.raw_stream, "limit", 0) > 0
            except StopIteration:
                # If the file ends within a record's headers, warcio reports no error.
                if archive.offset < file.stat().st_size:
                    raise _cut_off(name, archive.offset) from None
                return
            except Exception as error:  # noqa: BLE001  what warcio raises at damage is many things
                raise DataLoss(name, offset, f"is damaged ({str(error)[:120]}),") from None
            if cut_off:
                raise _cut_off(name, offset)
            yield offset, record, content


def _content(record: Any, missed: Callable[[str], None]) -> _Content:
    """Return a record's content and whether that is plain text; None if it is no page."""
    if record.rec_type == "conversion":
        plain = True
    elif record.rec_type == "response" and record.http_headers is not None:
        plain = False
        if record.http_headers.get_statuscode() != "200":
            missed("no page (status)")
            return None
        kind = (record.http_headers.get_header("Content-Type") or "").lower()
        if not kind.startswith(_HTML):
            missed("no HTML")
            return None
    else:
        return None
    data: bytes = record.content_stream().read(_MAX_PAGE_BYTES + 1)
    if len(data) > _MAX_PAGE_BYTES:
        missed(f"a page of more than {_MAX_PAGE_BYTES >> 20} MiB")
        return None
    return data, plain


def _cut_off(name: str, offset: int) -> DataLoss:
    return DataLoss(name, offset, "is cut off in the middle of a record,")


def _missing(error: ImportError) -> PreconditionFailed:
    return PreconditionFailed(f"{error.name} is missing: pip install 'assay-services[build]'")
