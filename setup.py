"""Builds what is compiled where there is a C++ compiler; everything else stands in pyproject.toml.

`optional` lets the installation go on where a build fails; torch then trains (archgym/native/__init__.py), and steps on
recorded tables are computed in Python (archgym/envs/table_kernel.py).
"""

import platform
from glob import glob

from setuptools import Extension, setup

FLAGS = ["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-Wno-psabi", "-g0"]
# One build per vector width of the processor, and one with its products of bfloat16; all but the last need a processor
# that has them.
BUILDS = {
    "v4bf16": ["-march=x86-64-v4", "-mavx512bf16"],
    "v4": ["-march=x86-64-v4"],
    "v3": ["-march=x86-64-v3"],
    "baseline": [],
}
if platform.machine().lower() not in ("x86_64", "amd64"):
    BUILDS = {"baseline": []}
# What the learners depend on comes with the sdist; without one of these nothing would be built from it, silently.
HEADERS = sorted(glob("archgym/native/*.h"))

# Lifetimes on recorded tables: equal to Python's numbers to the last bit, which fused multiply-adds would change.
LIVES = Extension(
    "archgym.native._lives",
    ["archgym/native/lives.cpp"],
    extra_compile_args=[*FLAGS, "-ffp-contract=off"],
    language="c++",
    optional=True,
)

setup(
    ext_modules=[LIVES]
    + [
        Extension(
            f"archgym.native._learners_{name}",
            ["archgym/native/exports.cpp"],
            depends=HEADERS,
            extra_compile_args=[*FLAGS, *flags],
            language="c++",
            optional=True,
        )
        for name, flags in BUILDS.items()
    ]
)
