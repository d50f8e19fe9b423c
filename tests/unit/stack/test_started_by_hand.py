"""Parts that are started by hand beside a stack, in the same moment."""

import subprocess
import sys
from pathlib import Path

from stack.home import Home, State
from stack.ports import PortReservations
from tests.stack_session import clean_environment

# Nobody listens meanwhile: so it is until each is ready.
STARTED_TOGETHER = """
import os, sys
from contextlib import ExitStack
from pathlib import Path
from stack.home import Home
from stack.run import joined

with ExitStack() as running:
    for _ in range(3):
        running.enter_context(joined(Home(Path(sys.argv[1])), "worker_metrics"))
        print(os.environ.pop("FOLLOWTHROUGH_WORKER_METRICS_PORT"))
"""


def test_workers_that_are_started_at_once_show_their_metrics_on_different_ports(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    reserved_by_up = PortReservations()
    known = reserved_by_up.take_free()
    home.write_state(State(home=str(home.path), ports={"worker_metrics": known}))

    done = subprocess.run(
        [sys.executable, "-c", STARTED_TOGETHER, str(home.path)],
        env=clean_environment() | {"PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )

    reserved_by_up.release()
    assert done.returncode == 0, done.stderr
    first, *others = map(int, done.stdout.split())
    assert first == known
    assert len({first, *others}) == 3
