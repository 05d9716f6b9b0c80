"""Writes down with every saved run where and at which size it ran, for `saved_runs.py`."""

import os
from typing import Any

from benchmarks.machine import describe, processor


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Add what pytest-benchmark does not know."""
    machine_info["archgym"] = {"machine": processor(), "described": describe(), "toy": "ARCHGYM_TOY" in os.environ}
