"""Operators follow an order through the worker's log."""

import json

from tests.shop import Shop
from tests.stack_session import RunningStack


async def test_each_step_of_an_order_is_a_line_with_its_ids(stack: RunningStack, shop: Shop) -> None:
    order = await shop.place()
    await order.settled()
    run_id = (await order.handle.describe()).run_id

    written = (stack.home / "logs" / "worker.log").read_text().splitlines()

    assert [line for line in written if not line.startswith("{")] == []
    lines = [json.loads(line) for line in written]
    steps = [line for line in lines if line.get("order_id") == order.id and line["event"] == "activity"]
    assert [(line["activity"], line["outcome"], line["attempt"]) for line in steps] == [
        ("reserve", "done", 1),
        ("charge", "done", 1),
        ("ship", "done", 1),
    ]
    assert {line["workflow_id"] for line in steps} == {f"order/{order.id}"}
    assert {line["run_id"] for line in steps} == {run_id}
