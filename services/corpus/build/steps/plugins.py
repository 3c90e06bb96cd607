"""Functions of a recipe's author, named `module:function`.

A recipe runs the code that it names: build only recipes that you trust. Modules are found as
Python finds them, and then beside the recipe.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.errors import InvalidArgument


def look_beside(folder: Path) -> None:
    """Find modules that lie beside a recipe, too."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def load_function(name: str, where: str) -> Callable[..., Any]:
    """Import a function. Raises InvalidArgument, whose field is `where`, when there is none."""
    module_name, colon, function_name = name.partition(":")
    if not colon or not module_name or not function_name:
        raise InvalidArgument(where, f"{name!r} is neither a function of this program nor "
                                     "module:function")  # fmt: skip
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        problem = f"{module_name} cannot be imported ({type(error).__name__}: {error})"
        raise InvalidArgument(where, problem) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise InvalidArgument(where, f"{module_name} has no function {function_name!r}")
    found: Callable[..., Any] = function
    return found


def source_digest(function: Callable[..., Any]) -> str:
    """Digest the file that a function is in, so that another version of it is another build."""
    try:
        file = inspect.getsourcefile(inspect.unwrap(function))
        data = Path(file).read_bytes() if file else b""
    except (OSError, TypeError):
        data = b""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
