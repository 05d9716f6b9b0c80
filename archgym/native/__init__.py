"""The compiled learners: built at installation where there is a C++ compiler, for the processor at hand.

The library has no state of its own and allocates only what a window needs; Python's arrays stay where they are, and
calls release the interpreter's lock. One build per vector width lies in the package; the widest that the processor has
is loaded.
"""

import ctypes
import functools
import logging
from pathlib import Path

import torch

# What torch found the processor to have, and the builds that run there, the fastest first (setup.py names them).
BUILDS = {"AVX512": ("v4", "v3", "baseline"), "AVX2": ("v3", "baseline")}


@functools.cache
def library() -> ctypes.CDLL | None:
    """Load the compiled learners; None, and one line in the log, where they were not built."""
    folder = Path(__file__).parent
    for build in BUILDS.get(torch.backends.cpu.get_cpu_capability(), ("baseline",)):
        for path in sorted(folder.glob(f"_learners_{build}*.so")):
            return ctypes.CDLL(str(path))
    logging.getLogger("archgym").warning(
        "the compiled learner was not built (there was no C++ compiler when archgym was installed): torch trains "
        "instead, several times slower."
    )
    return None
