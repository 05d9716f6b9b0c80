"""With what numbers were computed: versions of the packages that matter, and the processor."""

import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("archgym", "numpy", "torch", "envpool", "gymnasium")


def versions() -> dict[str, str]:
    """Give the installed versions by package."""
    return {name: version(name) for name in PACKAGES}


def processor() -> str:
    """Name the processor, as Linux does where there is one, else its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
