"""The worker must run where there is no web server."""

import subprocess
import sys


def test_the_worker_imports_neither_fastapi_nor_uvicorn() -> None:
    script = "import sys, worker; print([name for name in ('fastapi', 'uvicorn', 'starlette') if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
