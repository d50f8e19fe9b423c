"""The list of attention items: what is open, the last first, page by page."""

from typing import Any
from uuid import uuid4

from contracts.attention import AttentionItem, AttentionKind
from database.attention import AttentionRepository
from tests.acceptance.client import Caller
from tests.shop import Shop

KIND = AttentionKind.SHIPMENT_OVERDUE


async def test_it_comes_in_pages_of_one_kind_and_without_what_is_closed(shop: Shop, operator: Caller) -> None:
    attention, mark = AttentionRepository(shop.engine), uuid4().hex
    for number in range(5):
        await attention.open(
            AttentionItem(kind=KIND, source=f"{mark}-{number}", order_id=None, detail=f"parcel {number}")
        )
    other = AttentionItem(kind=AttentionKind.DISPUTE, source=mark, order_id=None, detail="a dispute")
    await attention.open(other)
    await attention.close_others(KIND, [f"{mark}-{number}" for number in (0, 1, 3, 4)])

    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = (
            await operator.get("/v1/admin/attention", kind=KIND, limit=2, **({"cursor": cursor} if cursor else {}))
        ).json()
        assert len(page["items"]) <= 2
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert [item["detail"] for item in found] == ["parcel 4", "parcel 3", "parcel 1", "parcel 0"]
    assert {item["kind"] for item in found} == {KIND}
    assert found[0].keys() == {"id", "kind", "source", "order_id", "detail", "opened_at", "closed_at"}
    everything = (await operator.get("/v1/admin/attention", limit=100)).json()["items"]
    assert mark in {item["source"] for item in everything}
