"""An order goes out in the fewest parcels, from the lowest warehouses, and says what is to be had nowhere."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from activities.allocation import allocate
from contracts.fulfilments import Fulfilment, FulfilmentStatus, OrderLine
from contracts.money import Money

Plan = list[tuple[str | None, dict[str, int]]]

SKUS = ("A", "B", "C")
WAREHOUSES = ("wh_a", "wh_b", "wh_c", "wh_d")

quantities = st.dictionaries(st.sampled_from(SKUS), st.integers(1, 6), min_size=1)
stocks = st.dictionaries(st.sampled_from(SKUS), st.dictionaries(st.sampled_from(WAREHOUSES), st.integers(0, 5)))


def lines(**wanted: int) -> tuple[OrderLine, ...]:
    return tuple(
        OrderLine(sku=sku, name=sku, quantity=quantity, unit_price=Money(amount=100))
        for sku, quantity in wanted.items()
    )


def plan(fulfilments: tuple[Fulfilment, ...]) -> Plan:
    return [(one.warehouse, {line.sku: line.quantity for line in one.lines}) for one in fulfilments]


def test_one_warehouse_that_has_all_sends_all_though_another_has_a_lower_id() -> None:
    stock = {"A": {"wh_a": 1, "wh_b": 5}, "B": {"wh_b": 5}}

    assert plan(allocate(lines(A=2, B=1), stock)) == [("wh_b", {"A": 2, "B": 1})]


def test_of_two_warehouses_that_have_all_the_lower_id_sends() -> None:
    assert plan(allocate(lines(A=2), {"A": {"wh_b": 9, "wh_a": 2}})) == [("wh_a", {"A": 2})]


def test_a_line_is_split_where_no_warehouse_has_all_of_it() -> None:
    assert plan(allocate(lines(A=5), {"A": {"wh_a": 2, "wh_b": 4}})) == [("wh_a", {"A": 2}), ("wh_b", {"A": 3})]


def test_what_no_warehouse_has_comes_last_and_is_unavailable() -> None:
    fulfilments = allocate(lines(A=3, B=1), {"A": {"wh_a": 2}})

    assert plan(fulfilments) == [("wh_a", {"A": 2}), (None, {"A": 1, "B": 1})]
    assert [one.status for one in fulfilments] == [FulfilmentStatus.PENDING, FulfilmentStatus.UNAVAILABLE]
    assert [one.number for one in fulfilments] == [1, 2]


def test_an_order_of_which_nothing_is_to_be_had_is_one_unavailable_fulfilment() -> None:
    assert plan(allocate(lines(A=1, B=2), {"A": {"wh_a": 0}})) == [(None, {"A": 1, "B": 2})]


def test_a_hundred_lines_in_forty_warehouses_are_split_without_a_superfluous_parcel() -> None:
    """More sets of warehouses than are ever looked at."""
    wanted = {f"S{number}": 1 for number in range(100)}
    stock = {f"S{number}": {f"wh_{number % 40:02}": 1} for number in range(100)}

    assert len(allocate(lines(**wanted), stock)) == 40


@given(quantities, stocks)
def test_every_unit_is_sent_once_or_missing_and_no_warehouse_sends_more_than_it_has(
    wanted: dict[str, int], stock: dict[str, dict[str, int]]
) -> None:
    found = plan(allocate(lines(**wanted), stock))

    assert {sku: sum(part.get(sku, 0) for _, part in found) for sku in wanted} == wanted
    for warehouse, part in found:
        for sku, quantity in part.items():
            if warehouse is not None:
                assert 0 < quantity <= stock[sku][warehouse]
    missing = dict(found).get(None, {})
    assert missing == {sku: short for sku in wanted if (short := wanted[sku] - sum(stock.get(sku, {}).values())) > 0}


@given(quantities, stocks)
def test_no_smaller_or_lower_set_of_warehouses_could_send_as_much(
    wanted: dict[str, int], stock: dict[str, dict[str, int]]
) -> None:
    senders = tuple(warehouse for warehouse, _ in plan(allocate(lines(**wanted), stock)) if warehouse)

    def sends(warehouses: tuple[str, ...]) -> int:
        return sum(
            min(quantity, sum(stock.get(sku, {}).get(name, 0) for name in warehouses))
            for sku, quantity in wanted.items()
        )

    better = (
        chosen
        for size in range(len(senders) + 1)
        for chosen in combinations(WAREHOUSES, size)
        if (size, chosen) < (len(senders), senders)
    )
    assert all(sends(chosen) < sends(senders) for chosen in better)
