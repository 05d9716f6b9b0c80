"""Progress on the terminal: a live bar, or plain lines where nobody watches."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

BAR_SECONDS = 0.2  # between two looks of the bar
LINE_SECONDS = 10.0  # between two lines where there is no terminal


class Progress:
    """Shows how far a job is.

    Args:
        title: What runs.
        total: How many units of work there are.
        guess: Whether the bar, or the line, tells the time left, by the units that are done; False where the words do
            (`left`).
    """

    def __init__(self, title: str, total: int, *, guess: bool = True) -> None:
        self.title, self.total, self.guess = title, total, guess
        self.begun = time.monotonic()
        self.console = Console()
        self.bars = Bars(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            *([TimeRemainingColumn()] if guess else []),
            TextColumn("{task.fields[text]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bars.add_task(title, total=total, text="")
        self.printed, self.shown = 0.0, -1.0  # when, and how much was done then

    def __enter__(self) -> "Progress":
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()

    def due(self, done: float) -> bool:
        """Tell whether `update` would show anything new: words that are costly to find need not be found before."""
        interval = BAR_SECONDS if self.console.is_terminal else LINE_SECONDS
        return time.monotonic() - self.printed >= interval or done >= self.total > self.shown

    def update(self, done: float, text: str) -> None:
        """Show how much is done, and a few words."""
        self.bars.update(self.task, completed=done, text=text)
        if self.due(done):
            if not self.console.is_terminal:
                spent, rest = time.monotonic() - self.begun, ""
                if self.guess and 0 < done < self.total and spent >= LINE_SECONDS:  # until then most was start-up
                    rest = f", {left(spent / done * (self.total - done))}"
                print(f"{self.title}: {done:.4g}/{self.total}  {text}{rest}", flush=True)
            self.printed, self.shown = time.monotonic(), done


def left(seconds: float) -> str:
    """Write how long the rest takes."""
    return f"about {seconds / 60:.0f} min left" if seconds > 90 else f"about {seconds:.0f} s left"
