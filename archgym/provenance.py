"""With what numbers were computed: versions of the packages that matter, and the processor."""

import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("archgym", "numpy", "torch", "envpool", "gymnasium")


def versions() -> dict[str, str]:
    """Give the installed versions by package."""
    return {name: version(name) for name in PACKAGES}


def processor() -> str:
    """Name the processor, as Linux does where there is one, else its architecture.

    Virtual machines give different processors one name; their numbers tell them apart.
    """
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    told = dict(line.replace("\t", "").split(":", 1) for line in reversed(lines) if ":" in line)  # of the first core
    if "model name" not in told:
        return platform.machine()
    numbers = [f"{name} {told[name].strip()}" for name in ("cpu family", "model") if name in told]
    return ", ".join([told["model name"].strip(), *numbers])
