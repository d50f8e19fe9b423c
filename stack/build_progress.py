"""Shows how far a long build is: a bar on a terminal, a line now and then elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

LINE_EVERY_S = 15.0


class BuildProgress:
    """Named steps of one build, written to stderr, so that stdout stays the command's answer."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._step = ""
        self._total: int | None = None
        self._done = 0
        self._began = time.monotonic()
        self._last_line = 0.0

    def __enter__(self) -> "BuildProgress":
        if self._console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self._console,
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, description: str, total: int | None = None) -> None:
        """Begin the next step; `total` is how many advances it takes, if that is known."""
        self._step, self._total, self._done = description, total, 0
        if self._bar is None:
            self._line(description)
            return
        for task in self._bar.task_ids:
            self._bar.update(task, total=1, completed=1)
        self._bar.add_task(description, total=total)

    def advance(self) -> None:
        self._done += 1
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[-1])
        elif time.monotonic() - self._last_line > LINE_EVERY_S:
            of_total = f" of about {self._total}" if self._total else ""
            self._line(f"{self._step}: {self._done}{of_total} packages")

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        self._console.print(
            f"[{self._last_line - self._began:4.0f} s] {text}", highlight=False, markup=False, soft_wrap=True
        )
