"""What goes on for long, and what is downloaded, is hardened as every other answer is."""

import pytest
from websockets.exceptions import InvalidStatus

from tests.acceptance.client import BIKE, Caller, Door
from tests.reports import download, written
from tests.unit.api.test_every_route import assert_hardened
from tests.watching import live


@pytest.mark.parametrize("path", ["/v1/orders/{id}/events", "/v1/orders.csv"])
async def test_a_stream_is_hardened(customer: Caller, path: str) -> None:
    placed = await customer.placed(sku=BIKE, quantity=1)

    async with customer.http.stream("GET", path.format(**placed), headers=customer.headers) as answer:
        assert answer.status_code == 200
        assert_hardened(answer, path)


async def test_a_websocket_is_hardened_and_so_is_its_refusal(door: Door, customer: Caller) -> None:
    placed = await customer.placed(sku=BIKE, quantity=1)

    async with live(customer, placed["id"]) as watched:
        assert watched.response is not None
        assert watched.response.headers["x-content-type-options"] == "nosniff"
        assert watched.response.headers["content-security-policy"].startswith("default-src 'none'")
    with pytest.raises(InvalidStatus) as refused:
        async with live(door.customer("jobs:write"), placed["id"]):
            pass
    assert refused.value.response.status_code == 403
    assert refused.value.response.headers["x-content-type-options"] == "nosniff"


async def test_a_report_is_hardened_in_whole_in_part_and_refused(door: Door) -> None:
    owner = door.customer("orders:write", "reports:write")
    report = await written(owner)

    answers = [await download(owner, report), await download(owner, report, Range="bytes=0-3")]
    answers += [await download(owner, report, Range="bytes=999999-"), await owner.http.get(report["links"]["download"])]

    assert [answer.status_code for answer in answers] == [200, 206, 416, 401]
    for answer in answers:
        assert_hardened(answer, report["links"]["download"])
