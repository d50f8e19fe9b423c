"""The one error a user of the command line sees."""

from pathlib import Path

LOG_TAIL_BYTES = 4_000
LOG_TAIL_LINES = 12


class StackError(Exception):
    """Something a person has to act on: what failed, where it is logged, and what to do."""

    def __init__(self, what: str, *, remedy: str, log: Path | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.log = log

    def report(self) -> str:
        """The text for the terminal, with the last lines of the log."""
        parts = [f"error: {self.what}"]
        if self.log is not None:
            tail = last_lines(self.log)
            if tail:
                parts.append("\n".join(f"  | {line}" for line in tail))
            parts.append(f"log: {self.log}")
        parts.append(f"what to do: {self.remedy}")
        return "\n".join(parts)


def last_lines(log: Path) -> list[str]:
    """The end of a log; nothing when it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - LOG_TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    except OSError:
        return []
