"""With what numbers were computed: versions of the packages that matter, and the processor."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("archgym", "numpy", "torch", "envpool", "gymnasium")
NONE = "none"  # the version of a package that is not there: EnvPool has no build for some platforms


def versions() -> dict[str, str]:
    """Give the installed versions by package; "none" where there is none."""
    return {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return NONE


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
