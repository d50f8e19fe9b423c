"""Which warehouse sends what of an order."""

from collections.abc import Iterable, Mapping
from itertools import chain, combinations

from contracts.fulfilments import Fulfilment, FulfilmentStatus, OrderLine

# Looking for the fewest parcels means looking at sets of warehouses; past so many the first good one is taken.
SETS_LOOKED_AT = 1_000

# Units of each SKU by warehouse.
Available = Mapping[str, Mapping[str, int]]


def allocate(lines: tuple[OrderLine, ...], available: Available) -> tuple[Fulfilment, ...]:
    """Split an order into fulfilments, one for each warehouse that sends something, numbered by warehouse id.

    The fewest parcels that hold all there is to be had; of several ways with as many, the one with the lowest warehouse
    ids, each of which sends as much as it can. What no warehouse has is the last fulfilment, `unavailable`.
    """
    units = {line.sku: _positive(available.get(line.sku, {})) for line in lines}
    wanted = {line.sku: min(line.quantity, sum(units[line.sku].values())) for line in lines}
    missing = {line.sku: line.quantity for line in lines}
    fulfilments: list[Fulfilment] = []
    for warehouse in _senders(wanted, units):
        sent = {sku: min(missing[sku], units[sku].get(warehouse, 0)) for sku in missing}
        missing = {sku: missing[sku] - quantity for sku, quantity in sent.items()}
        fulfilments.append(_fulfilment(len(fulfilments) + 1, warehouse, _part(lines, sent)))
    if any(missing.values()):
        fulfilments.append(_fulfilment(len(fulfilments) + 1, None, _part(lines, missing)))
    return tuple(fulfilments)


def _positive(units: Mapping[str, int]) -> dict[str, int]:
    return {warehouse: quantity for warehouse, quantity in units.items() if quantity > 0}


def _senders(wanted: Mapping[str, int], units: Available) -> tuple[str, ...]:
    """The smallest set of warehouses that together have what is wanted, and the lowest ids among those, sorted."""
    warehouses = sorted(set(chain.from_iterable(units.values())))
    looked_at = 0
    for size in range(len(warehouses) + 1):
        for chosen in combinations(warehouses, size):
            if _have(chosen, wanted, units):
                return chosen
            looked_at += 1
            if looked_at == SETS_LOOKED_AT:
                return _enough(warehouses, wanted, units)
    return tuple(warehouses)


def _have(warehouses: Iterable[str], wanted: Mapping[str, int], units: Available) -> bool:
    chosen = tuple(warehouses)
    return all(sum(units[sku].get(name, 0) for name in chosen) >= quantity for sku, quantity in wanted.items())


def _enough(warehouses: list[str], wanted: Mapping[str, int], units: Available) -> tuple[str, ...]:
    """Some set without a superfluous warehouse: leave out, from the highest id on, what the rest can do without."""
    chosen = list(warehouses)
    for name in reversed(warehouses):
        rest = [other for other in chosen if other != name]
        if _have(rest, wanted, units):
            chosen = rest
    return tuple(chosen)


def _part(lines: tuple[OrderLine, ...], quantities: Mapping[str, int]) -> tuple[OrderLine, ...]:
    return tuple(
        line.model_copy(update={"quantity": quantities[line.sku]}) for line in lines if quantities[line.sku] > 0
    )


def _fulfilment(number: int, warehouse: str | None, lines: tuple[OrderLine, ...]) -> Fulfilment:
    status = FulfilmentStatus.UNAVAILABLE if warehouse is None else FulfilmentStatus.PENDING
    return Fulfilment(number=number, warehouse=warehouse, lines=lines, status=status)
