"""The demo as it happens: a live table on a terminal, plain lines elsewhere."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table

if TYPE_CHECKING:
    from stack.demo import DemoOrder

PLAIN_WIDTH = 130

Link = Callable[["DemoOrder"], str]


class DemoView(Protocol):
    """Shows the orders as they are now."""

    def show(self) -> None: ...


def open_console() -> Console:
    """As wide as the terminal; where there is none, wide enough for our tables."""
    console = Console()
    return console if console.is_terminal else Console(width=PLAIN_WIDTH)


@contextlib.contextmanager
def open_view(orders: "Sequence[DemoOrder]", link: Link) -> "Iterator[DemoView]":
    """A view for this kind of output."""
    console = open_console()
    if not console.is_terminal:
        yield _Lines(orders, link)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield _LiveTable(orders, link, live)


class _Lines:
    def __init__(self, orders: "Sequence[DemoOrder]", link: Link) -> None:
        self._orders = orders
        self._link = link
        self._printed: dict[str, tuple[int, str]] = {}

    def show(self) -> None:
        for order in self._orders:
            known, attempts = self._printed.get(order.id, (0, ""))
            for event in order.events[known:]:
                _print(f"{order.scenario.title:<30} {event}")
            if order.attempts and order.attempts != attempts:
                _print(f"{order.scenario.title:<30} retrying, {order.attempts}; see {self._link(order)}")
            self._printed[order.id] = (len(order.events), order.attempts)


class _LiveTable:
    def __init__(self, orders: "Sequence[DemoOrder]", link: Link, live: Live) -> None:
        self._orders = orders
        self._link = link
        self._live = live
        # What was retried stays readable once it worked.
        self._retried: dict[str, str] = {}

    def show(self) -> None:
        table = Table(title="Eight orders", title_justify="left")
        for heading in ("what", "status", "timeline", "retries"):
            table.add_column(heading, overflow="fold")
        for order in self._orders:
            if order.attempts:
                self._retried[order.id] = f"{order.attempts}\n{self._link(order)}"
            retried = self._retried.get(order.id, "")
            table.add_row(order.scenario.title, order.status, " > ".join(order.events), retried)
        self._live.update(table, refresh=True)


def print_places(urls: Mapping[str, str]) -> None:
    """Where to look further while the stack runs."""
    for name, url in urls.items():
        _print(f"{name:<9} {url}")


def _print(line: str) -> None:
    Console(soft_wrap=True, highlight=False, markup=False).print(line)
