"""The script `assay`: imports the command, and ends at once on Ctrl-C meanwhile.

Python's own handler would print a traceback of whatever is being imported.
"""

from __future__ import annotations

import signal


def main() -> int:
    """Run the command; return its exit status."""
    # A shell lets what runs in the background ignore Ctrl-C.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from services.cli.__main__ import main as run  # noqa: PLC0415  # not before the signal is set

    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()
