"""Settings of the test processes. The environment variables must stand before anything imports torch or matplotlib."""

import os
import sys

import pytest
from hypothesis import settings

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", MPLBACKEND="Agg")
os.environ.pop("ARCHGYM_JOURNAL", None)  # a tester's own setting would make every environment write a journal

# Wall-clock deadlines per example fail at random when workers share the processor.
settings.register_profile("archgym", deadline=None)
settings.load_profile("archgym")


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread() -> None:
    """Keep torch at one thread per worker, without importing it for tests that do not."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
