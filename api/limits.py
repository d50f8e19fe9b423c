"""Rate limits: a token bucket for every subject, or address, that called lately."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

MAX_BUCKETS = 50_000


class RateLimiter:
    """Token buckets by key. Memory is bounded: a full bucket is as good as none, and the least used goes first."""

    def __init__(
        self,
        *,
        per_second: float,
        burst: int,
        clock: Callable[[], float] = time.monotonic,
        max_buckets: int = MAX_BUCKETS,
    ) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._clock = clock
        self._max_buckets = max_buckets
        # key -> (tokens left, when that was so); the least lately used first
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float | None:
        """Take one token. None when there was one, else the seconds until there is."""
        now = self._clock()
        left, since = self._buckets.get(key, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._per_second)
        allowed = left >= 1
        self._buckets[key] = (left - 1 if allowed else left, now)
        self._buckets.move_to_end(key)
        self._forget(now)
        return None if allowed else (1 - left) / self._per_second

    def __len__(self) -> int:
        return len(self._buckets)

    def _forget(self, now: float) -> None:
        full_after = self._burst / self._per_second
        while self._buckets:
            _, since = next(iter(self._buckets.values()))
            if len(self._buckets) <= self._max_buckets and now - since < full_after:
                return
            self._buckets.popitem(last=False)


def address_key(host: str | None) -> str:
    """The bucket of a caller without a token. An IPv6 caller has a whole /64 of addresses, and gets one bucket."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return "address:unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return f"address:{address.ipv4_mapped}"
        return f"address:{ipaddress.ip_network((address, 64), strict=False).network_address}"
    return f"address:{address}"
