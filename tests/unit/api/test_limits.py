"""Rate limits, on a clock of our own."""

from api.limits import RateLimiter, address_key


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(per_second=2, burst=3, clock=clock)

    assert [limiter.take("ada") for _ in range(4)] == [None, None, None, 0.5]
    clock.now += 0.5
    assert limiter.take("ada") is None
    assert limiter.take("ada") == 0.5


def test_one_caller_does_not_use_up_another_ones_share() -> None:
    limiter = RateLimiter(per_second=1, burst=1, clock=Clock())

    assert limiter.take("ada") is None
    assert limiter.take("ada") is not None
    assert limiter.take("bob") is None


def test_waiting_longer_than_it_takes_gives_no_more_than_a_burst() -> None:
    clock = Clock()
    limiter = RateLimiter(per_second=10, burst=2, clock=clock)
    limiter.take("ada")
    clock.now += 1_000

    assert [limiter.take("ada") is None for _ in range(3)] == [True, True, False]


def test_memory_is_bounded_and_full_buckets_are_forgotten() -> None:
    clock = Clock()
    limiter = RateLimiter(per_second=1, burst=10, clock=clock, max_buckets=100)

    for number in range(1_000):
        limiter.take(f"caller {number}")
    assert len(limiter) == 100
    clock.now += 10
    limiter.take("ada")
    assert len(limiter) == 1


def test_an_ipv6_caller_cannot_change_addresses_within_its_network() -> None:
    assert address_key("2001:db8::1") == address_key("2001:db8::ffff:2")
    assert address_key("2001:db8:0:1::1") != address_key("2001:db8::1")
    assert address_key("192.0.2.1") != address_key("192.0.2.2")
    # As a listener for both protocols shows an IPv4 caller.
    assert address_key("::ffff:192.0.2.1") == address_key("192.0.2.1")
    assert address_key(None) == address_key("a unix socket")
