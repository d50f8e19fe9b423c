"""The worker must run where there is no web server."""

import os
import subprocess
import sys
from ast import literal_eval

OF_TRACES = {"opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.instrumentation", "opentelemetry.proto"}


def test_the_worker_imports_neither_fastapi_nor_uvicorn() -> None:
    script = "import sys, worker; print([name for name in ('fastapi', 'uvicorn', 'starlette') if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_without_a_collector_nothing_of_opentelemetry_is_imported() -> None:
    """Of it, FastAPI itself imports the API; that does nothing without an SDK."""
    script = """
import sys, tracing, {module}
assert tracing.begin("any") == tracing.Tracing()
print(sorted({{".".join(name.split(".")[:2]) for name in sys.modules if name.startswith("opentelemetry.")}}))
"""

    imported = {module: run(script.format(module=module)) for module in ("worker", "api.app")}

    assert imported["worker"] == "[]"
    assert not set(literal_eval(imported["api.app"])) & OF_TRACES


def run(script: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()
