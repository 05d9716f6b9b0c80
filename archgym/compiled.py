"""Libraries that were compiled into archgym/native at installation, if there was a compiler."""

import ctypes
import logging
from collections.abc import Iterable
from pathlib import Path

import archgym


def load(names: Iterable[str], function: str, version: int, lost: str) -> ctypes.CDLL | None:
    """Load the first library that can be and was built from today's sources: others would read other structures.

    One that is there may have been built for another machine, as where several share a checkout or an image was copied.

    Args:
        names: Of the files, without what follows the first dot.
        function: Of the libraries, that gives the version of their sources.
        version: Of today's sources.
        lost: What the log says if there is none: what is missing ({}: for this reason), and what happens instead.
    """
    reason = "there was no C++ compiler when archgym was installed, or one older than GCC 12"
    for path in (path for name in names for path in (Path(archgym.__file__).parent / "native").glob(f"{name}.*so")):
        try:
            loaded = ctypes.CDLL(str(path))
        except OSError as error:
            reason = f"what was built cannot be loaded: {error}; install archgym again"
            continue
        if getattr(loaded, function, lambda: 0)() == version:
            return loaded
        reason = "archgym has changed since it was installed; install it again"
    logging.getLogger("archgym").warning(lost.format(reason))
    return None
