"""A pid alone is not a process."""

import os
import signal
import subprocess

from stack.processes import ProcessId
from stack.supervisor import RESTART_DELAYS_S, RestartDelays


def test_a_recycled_pid_is_another_process() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        current = ProcessId.of(process.pid)
        assert current is not None
        earlier = ProcessId(process.pid, started="before the last boot/1")

        earlier.send(signal.SIGKILL)

        assert not earlier.is_alive()
        assert current.is_alive()
        current.send(signal.SIGKILL)


def test_what_has_ended_is_not_alive_though_nobody_has_collected_it() -> None:
    with subprocess.Popen(["/bin/true"]) as process:
        identity = ProcessId.of(process.pid)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

        assert ProcessId.of(process.pid) is None
        assert identity is None or not identity.is_alive()


def test_restarts_wait_longer_each_time_and_start_afresh_after_a_steady_run() -> None:
    delays = RestartDelays(RESTART_DELAYS_S)

    assert [delays.after(alive_s=0.5) for _ in range(9)] == [0, 1, 2, 4, 8, 16, 30, 30, 30]
    assert [delays.after(alive_s=10.0), delays.after(alive_s=0.5)] == [0, 1]
