"""TensorBoard events with CleanRL's tags."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class EventWriter:
    """Writes the events of a search; they follow from the journal, so a resume writes them anew."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter  # torch's writer, without torch

        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self.writer = EventFileWriter(str(folder))

    def __enter__(self) -> "EventWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self.writer.close()

    def add(
        self, steps: int, speed: float, rewards: NDArray[np.float64], infos: dict[str, Any], scalars: dict[str, float]
    ) -> None:
        """Write one window; steps are inner environment steps of all members."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        tags = {
            "charts/episodic_return": infos["raw_return"].mean(),
            "charts/reward": rewards.mean(),
            "charts/SPS": speed,
            "charts/epsilon": infos["epsilon"].mean(),
            "losses/td_loss": infos["loss"].mean(),
            "losses/q_values": infos["value"].mean(),
            **scalars,
        }
        values = [Summary.Value(tag=tag, simple_value=float(value)) for tag, value in tags.items()]
        self.writer.add_event(Event(wall_time=time.time(), step=steps, summary=Summary(value=values)))
