"""`assay token`: make a bearer token, and the line for the token file of a service."""

from __future__ import annotations

import argparse
import re

from services.cli.arguments import add_json
from services.cli.exits import Exit
from services.cli.output.console import OUT, print_json
from services.errors import InvalidArgument
from services.rpc.access.tokens import NAME, line_of, new_token


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Makes a bearer token for NAME, and prints the token and a line. Give the token to the "
        "caller (as ASSAY_TOKEN). Add the line to the file that the service's "
        "ASSAY_..._TOKEN_FILE names; it holds only a digest of the token. docs/access.md has the "
        "details."
    )
    parser.epilog = "example: assay token alice"
    parser.add_argument("name", metavar="NAME", help="the caller's name, as in policies and logs")
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Prints a new token; stores nothing."""
    if not re.fullmatch(NAME, arguments.name):
        raise InvalidArgument("NAME", "letters, digits and . _ @ - only, at most 100")
    token = new_token()
    line = line_of(arguments.name, token)
    if arguments.json:
        print_json({"name": arguments.name, "token": token, "line": line})
    else:
        OUT.print(f"token: {token}", markup=False, highlight=False, soft_wrap=True)
        OUT.print(f"line:  {line}", markup=False, highlight=False, soft_wrap=True)
    return Exit.DONE
