"""From a sign-up's commit to the start of its welcome: `python -m benchmarks.sign_ups`.

Signs up in our books, one after the other, on a stack of its own. Counted is from before the transaction, so that the
figures are upper bounds, to the start that Temporal notes; both read the same clock. Prints p50 and p99, writes JSON.
"""

import asyncio
import json
import statistics
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvloop
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from benchmarks.running import connected, running_stack
from contracts.ids import new_account_id, welcome_workflow_id
from database.accounts import AccountRepository, SignUp
from database.engine import create_engine

WARM_UP = 50
SIGN_UPS = 300
EVERY_S = 0.1
STARTS_WITHIN_S = 10.0
RESULTS = Path(__file__).with_name("sign_ups.json")


async def started_at(temporal: Client, account_id: str) -> datetime:
    """When the welcome of an account began, once it has."""
    handle = temporal.get_workflow_handle(welcome_workflow_id(account_id))
    async with asyncio.timeout(STARTS_WITHIN_S):
        while True:
            try:
                return (await handle.describe(rpc_timeout=timedelta(seconds=5))).start_time
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
            await asyncio.sleep(0.05)


async def took_s(accounts: AccountRepository, temporal: Client) -> float:
    """Seconds from a sign-up to the start of its welcome."""
    account_id, begun = new_account_id(), datetime.now(UTC)
    address = f"bench-{uuid4().hex}@example.com"
    await accounts.sign_up(SignUp(account_id, address, "Ada", begun, key_hash=None, request_hash=""))
    # Looking for it any sooner would take the time that is measured.
    await asyncio.sleep(EVERY_S)
    return (await started_at(temporal, account_id) - begun).total_seconds()


async def measure(stack: dict[str, Any]) -> dict[str, float]:
    temporal = await connected(stack)
    engine = create_engine(stack["database_url"], connections=1, application_name="followthrough benchmark")
    try:
        accounts = AccountRepository(engine)
        seconds = [await took_s(accounts, temporal) for _ in range(WARM_UP + SIGN_UPS)][WARM_UP:]
    finally:
        await engine.dispose()
    cuts = statistics.quantiles(seconds, n=100)
    return {"p50_ms": round(cuts[49] * 1_000, 1), "p99_ms": round(cuts[98] * 1_000, 1)}


def main() -> None:
    with running_stack() as (_, stack):
        found = uvloop.run(measure(stack))
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    sys.stdout.write(
        f"{SIGN_UPS} sign-ups, commit to start of the welcome: p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms\n"
    )


if __name__ == "__main__":
    main()
