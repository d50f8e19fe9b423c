"""What a person sees once everything is up: where to look, and three commands to copy."""

import json
import shlex
import sys
from pathlib import Path

from stack.home import Home, State

EXAMPLE_ORDER = {
    "lines": [{"sku": "TEE-BLACK-M", "quantity": 2}],
    "payment_method": "pm_card_visa",
    "ship_to": {"name": "Ada", "line1": "12 Long St", "city": "Oslo", "postal_code": "0150", "country": "NO"},
}


def invitation(home: Home, state: State) -> str:
    """URLs, then commands that place an order, read it and list all of one's own."""
    command = f"{_command()} %s --home {shlex.quote(str(home.path))}"
    places = {
        "API docs": state.api_url and f"{state.api_url}/docs",
        "shop": state.api_url and f"{state.api_url}/shop",
        "console": state.api_url and f"{state.api_url}/console",
        "Web UI": state.temporal_ui_url,
        "sandbox": state.sandbox_url,
        "inbox": state.sandbox_url and f"{state.sandbox_url}/inbox",
        "logs": str(home.logs),
        "stop with": f"{command % 'down'}   (or Ctrl-C where `up` runs in the foreground)",
    }
    lines = ["", *(f"{label:<12} {place}" for label, place in places.items() if place)]
    if state.api_url is not None:
        lines += ["", *_curls(state.api_url, command)]
    return "\n".join(lines)


def _curls(api_url: str, command: str) -> list[str]:
    orders = f"{api_url}/v1/orders"
    sign = f"{command % 'token'} --subject ada --scope orders:write"
    return [
        "# place an order, read it, list them all:",
        f"TOKEN=$({sign})",
        (
            f'ORDER=$(curl -sS -X POST {orders} -H "Authorization: Bearer $TOKEN" -H "Idempotency-Key: $(date +%s)"'
            f" -H 'Content-Type: application/json' -d '{json.dumps(EXAMPLE_ORDER)}'"
            """ | python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')"""
        ),
        f'curl -sS {orders}/$ORDER -H "Authorization: Bearer $TOKEN"',
        f'curl -sS {orders} -H "Authorization: Bearer $TOKEN"',
    ]


def _command() -> str:
    """How this very command was called, so that the lines work when they are copied."""
    called = Path(sys.argv[0])
    return shlex.quote(str(called)) if called.name == "followthrough" else f"{shlex.quote(sys.executable)} -m stack"
