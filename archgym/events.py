"""TensorBoard events with CleanRL's tags."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class EventWriter:
    """Writes the events of a search; they follow from the journal, so a resume writes them anew."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self.writer = SummaryWriter(str(folder))

    def __enter__(self) -> "EventWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self.writer.close()

    def add(
        self, steps: int, speed: float, rewards: NDArray[np.float64], infos: dict[str, Any], scalars: dict[str, float]
    ) -> None:
        """Write one window; steps are inner environment steps of all members."""
        tags = {
            "charts/episodic_return": infos["raw_return"].mean(),
            "charts/reward": rewards.mean(),
            "charts/SPS": speed,
            "charts/epsilon": infos["epsilon"].mean(),
            "losses/td_loss": infos["loss"].mean(),
            "losses/q_values": infos["value"].mean(),
            **scalars,
        }
        for tag, value in tags.items():
            self.writer.add_scalar(tag, float(value), steps)
