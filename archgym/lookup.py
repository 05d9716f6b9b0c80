"""Finding things by name: the modules of a folder, and the sentence for a name that is not there.

A search space, supernet, trainer or agent is one module of its folder, known by its file name with dashes
(`mlp-wide` is `mlp_wide.py`). A name with a dot is somebody else's module (`mylab.spaces.conv`).
"""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType

NEAR = 0.6  # likeness (difflib) from which on a name is suggested


def unknown(kind: str, got: object, known: Iterable[str]) -> ValueError:
    """Build the error for a name that is not among the known ones.

    Args:
        kind: What was looked up, as a user would call it ("task", "search space").
        got: What the user gave.
        known: The valid names; the nearest one is suggested.

    Returns:
        The error, for the caller to raise.
    """
    names = sorted(known)
    word, lowered = str(got).lower(), [name.lower() for name in names]
    near = difflib.get_close_matches(word, lowered, n=1, cutoff=NEAR) or [
        name for name in lowered if word and name.startswith(word)
    ]
    hint = "".join(f" Did you mean {name!r}?" for name in names if name.lower() in near[:1])
    return ValueError(f"unknown {kind} {got!r}: expected one of {', '.join(names) or 'none'}.{hint}")


def names(package: str) -> list[str]:
    """List the public modules of a package by the names users type.

    Args:
        package: Dotted name of the package, such as `archgym.search_spaces`.

    Returns:
        The sorted names, with dashes.
    """
    paths = importlib.import_module(package).__path__
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(paths) if module.name[0] != "_")


def load(package: str, name: str, kind: str) -> ModuleType:
    """Import the module that a name stands for.

    Args:
        package: The package whose modules are meant by names without a dot.
        name: A name listed by `names`, or the dotted name of any importable module.
        kind: What is looked up, for the error.

    Returns:
        The module.

    Raises:
        ValueError: If there is no such module. A dependency missing *inside* the module raises as itself.
    """
    if "." in name and name[0] != ".":
        return imported(name, kind, name)
    if name.replace("_", "-") not in names(package):
        raise unknown(kind, name, names(package))
    return importlib.import_module(f"{package}.{name.replace('-', '_')}")


def imported(module: str, kind: str, got: str) -> ModuleType:
    """Import somebody else's module.

    Args:
        module: Its dotted name.
        kind: What is looked up in it, for the error.
        got: What the user gave.

    Raises:
        ValueError: If there is no such module. A dependency missing *inside* the module raises as itself.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ValueError(f"unknown {kind} {got!r}: there is no module {error.name!r} to import.") from error
