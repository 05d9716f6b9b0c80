"""The compiled learners: built at installation where there is a C++ compiler (GCC 12, Clang or newer).

The library has no state of its own and allocates only what a window needs; Python's arrays stay where they are, and
calls release the interpreter's lock. One build per vector width lies in the package, and one that also knows the
instruction for products of bfloat16; the first of them that the processor can run is loaded. What they compute in
bfloat16 is the same.
"""

import ctypes
import functools
import logging

import torch

from archgym import compiled

VERSION = 1  # of exports.cpp

# What torch found the processor to have, and the builds that run there, the fastest first (setup.py names them).
BUILDS = {
    "AVX512 with bfloat16": ("v4bf16", "v4", "v3", "baseline"),
    "AVX512": ("v4", "v3", "baseline"),
    "AVX2": ("v3", "baseline"),
}


def capability() -> str:
    """Name what the processor has: a key of `BUILDS`, or another name for what has the baseline alone."""
    level = torch.backends.cpu.get_cpu_capability()
    return f"{level} with bfloat16" if level == "AVX512" and torch.cpu._is_avx512_bf16_supported() else level


@functools.cache
def library() -> ctypes.CDLL | None:
    """Load the compiled learners; None, and one line in the log, where none can be loaded, or from other sources."""
    lost = "the compiled learner is missing ({}): torch trains instead, several times slower."
    names = (f"_learners_{build}" for build in BUILDS.get(capability(), ("baseline",)))
    return compiled.load(names, "learners_version", VERSION, lost)


@functools.cache
def tell_if_bfloat16_is_slow() -> None:
    """Say once in the log if the library computes bfloat16 without the processor's instruction for it."""
    loaded = library()
    if loaded is not None and "_learners_v4bf16." not in loaded._name:
        logging.getLogger("archgym").warning(
            "the compiled learner computes bfloat16 in float32's arithmetic here (the processor has no instruction for "
            "it, or the compiler knew none when archgym was installed): the same results, and slower than float32."
        )
