"""The list of attention items: what is open, the last first, page by page, until somebody has looked at it."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from contracts.attention import AttentionItem, AttentionKind, KeptItem
from database.attention import AttentionRepository
from database.tables import attention_items
from tests.acceptance.client import Caller, assert_problem
from tests.letters import audited
from tests.schedules import items_about, opened
from tests.shop import Shop

KIND = AttentionKind.SHIPMENT_OVERDUE
# What a run that finds them no more closes.
PASSING = (
    AttentionKind.ORPHANED_RESERVATION,
    AttentionKind.STUCK_ORDER,
    AttentionKind.WEBHOOK_FAILING,
    AttentionKind.WEBHOOK_DISABLED,
)


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


async def closed(operator: Caller, item: KeptItem) -> dict[str, Any]:
    answer = await operator.post(f"/v1/admin/attention/{item.id}/close", json={"note": "looked at"})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def is_listed(operator: Caller, item: KeptItem) -> bool:
    page = (await operator.get("/v1/admin/attention", kind=item.kind, limit=100)).json()
    return item.id in {one["id"] for one in page["items"]}


@pytest.mark.parametrize("kind", AttentionKind)
async def test_an_operator_closes_an_item_of_any_kind_once(shop: Shop, operator: Caller, kind: AttentionKind) -> None:
    item = await opened(shop, kind, "as found")
    assert await is_listed(operator, item)

    first = await closed(operator, item)
    again = await closed(operator, item)

    assert first["id"] == item.id
    assert first["closed_at"] is not None
    assert again == first
    assert not await is_listed(operator, item)
    [entry] = await audited(operator, subject=item.id)
    assert (entry["action"], entry["note"]) == ("attention_item.close", "looked at")


@pytest.mark.parametrize("unknown", ["att_00000000000000000000000000", "x"])
async def test_closing_what_there_is_not_is_not_found(operator: Caller, unknown: str) -> None:
    assert_problem(await operator.post(f"/v1/admin/attention/{unknown}/close"), 404, "not_found")
    assert await audited(operator, subject=unknown) == []


@pytest.mark.parametrize("kind", [kind for kind in AttentionKind if kind not in PASSING])
async def test_what_an_operator_closed_is_told_again_only_when_it_has_changed(
    shop: Shop, operator: Caller, kind: AttentionKind
) -> None:
    attention, item = AttentionRepository(shop.engine), await opened(shop, kind, "5.00 usd was given back")
    found = AttentionItem(kind=kind, source=item.source, order_id=None, detail=item.detail)
    changed = found.model_copy(update={"detail": "7.00 usd was given back"})
    await closed(operator, item)

    assert not await attention.open(found)
    assert not await is_listed(operator, item)
    # The event and the comparison tell of a charge in words of their own, and it is what it was.
    assert await attention.open(changed) == kind.may_change == (kind is not AttentionKind.UNEXPECTED_CHARGE)
    assert await is_listed(operator, item) == kind.may_change
    assert not await attention.open(changed)
    assert len(await items_about(shop, item.source)) == 1


@pytest.mark.parametrize("kind", PASSING)
async def test_what_passes_by_itself_stays_closed_until_it_changes_or_comes_again(
    shop: Shop, operator: Caller, kind: AttentionKind
) -> None:
    attention, item = AttentionRepository(shop.engine), await opened(shop, kind, "since 12:00")
    found = AttentionItem(kind=kind, source=item.source, order_id=None, detail=item.detail)
    others = [other.source for other in await everything(shop, kind) if other.id != item.id]
    await closed(operator, item)

    assert await attention.open_again([found]) == 0
    assert await attention.close_others(kind, [item.source, *others]) == 0
    assert await attention.open_again([found]) == 0
    assert await attention.open_again([found.model_copy(update={"detail": "since 13:00"})]) == 1

    await closed(operator, item)
    assert await attention.close_others(kind, others) == 0
    assert await attention.open_again([found.model_copy(update={"detail": "since 13:00"})]) == 1
    assert await attention.close_others(kind, others) == 1


async def everything(shop: Shop, kind: AttentionKind) -> list[KeptItem]:
    """All that there is of a kind, which other tests may have left."""
    async with shop.engine.connect() as connection:
        rows = await connection.execute(select(attention_items).where(attention_items.c.kind == kind))
        return [KeptItem.model_validate(row._mapping) for row in rows]
