"""Progress on the terminal: a live bar, or plain lines where nobody watches."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

LINE_SECONDS = 10.0  # between two lines where there is no terminal


class Progress:
    """Shows how far a job is.

    Args:
        title: What runs.
        total: How many units of work there are.
    """

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total = title, total
        self.console = Console()
        self.bars = Bars(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bars.add_task(title, total=total, text="")
        self.printed = 0.0

    def __enter__(self) -> "Progress":
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()

    def update(self, done: int, text: str) -> None:
        """Show how much is done, and a few words."""
        self.bars.update(self.task, completed=done, text=text)
        now = time.monotonic()
        if not self.console.is_terminal and (now - self.printed >= LINE_SECONDS or done >= self.total):
            print(f"{self.title}: {done}/{self.total}  {text}", flush=True)
            self.printed = now
