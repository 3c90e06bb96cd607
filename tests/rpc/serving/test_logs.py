import json
import subprocess
import sys

SCRIPT = """
import logging, warnings, structlog
from services.rpc.serving import logs
logs.configure("info")
log = structlog.get_logger("x")
log.debug("unseen")
log.info("hello\\nforged", number=1, path=__import__("pathlib").Path("/a"))
logging.getLogger("a.library").warning("from %s", "afar", extra={"more": 2})
warnings.warn("old way")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("oh no")
"""


def test_every_log_is_one_json_object_a_line() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True
    )
    hello, library, warning, failure = (json.loads(line) for line in ended.stderr.splitlines())
    assert hello["event"] == "hello\nforged"
    assert (hello["number"], hello["path"], hello["level"]) == (1, "/a", "info")
    assert hello["timestamp"].endswith("Z")
    assert (library["event"], library["more"], library["level"]) == ("from afar", 2, "warning")
    assert "old way" in warning["event"]
    assert "ZeroDivisionError" in failure["exception"]
    assert ended.stdout == ""
