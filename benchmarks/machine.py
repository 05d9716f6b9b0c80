"""Says where a benchmark ran, for the line above its table and for comparing saved runs."""

import os
import platform
import resource
from importlib.metadata import version

from archgym import provenance

PACKAGES = ("archgym", "torch", "numpy", "gymnasium", "envpool", "stable-baselines3")


def processor() -> str:
    """Name the processor and count its cores: runs of two machines are not held against each other."""
    return f"{provenance.processor()}, {os.cpu_count()} cores"


def describe() -> str:
    """Name the processor, the load on it and the versions."""
    versions = [f"Python {platform.python_version()}", *(f"{package} {version(package)}" for package in PACKAGES)]
    return f"{processor()}, load {os.getloadavg()[0]:.1f}; {', '.join(versions)}"


def spent() -> float:
    """CPU seconds of this process and of those that ended."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)
