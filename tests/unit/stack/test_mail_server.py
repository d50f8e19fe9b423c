"""Where the processes of a stack send mail: to the sandbox, unless a mail server was brought along."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.environment import joined_to, supervised
from stack.home import Home, State
from stack.plan import absent_processes, lay_out
from stack.ports import PortReservations

PROVIDERS = {
    "FOLLOWTHROUGH_PAYMENTS_URL": "https://pay.example",
    "FOLLOWTHROUGH_CARRIER_URL": "https://carrier.example",
}


@pytest.fixture
def held() -> Iterator[PortReservations]:
    reservations = PortReservations()
    yield reservations
    reservations.release()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def laid_out(home: Home, held: PortReservations, environment: dict[str, str]) -> State:
    state = State(home=str(home.path))
    lay_out(state, environment, absent_processes(environment, ()), held)
    home.write_state(state)
    return state


def test_mail_goes_to_the_sandbox(home: Home, held: PortReservations) -> None:
    state = laid_out(home, held, {})

    port = str(state.ports["sandbox_smtp"])
    assert state.smtp_address == f"127.0.0.1:{port}"
    for variables in (supervised(home, state, {}), joined_to(home, {})):
        assert (variables["FOLLOWTHROUGH_SMTP_HOST"], variables["FOLLOWTHROUGH_SMTP_PORT"]) == ("127.0.0.1", port)
        assert variables["FOLLOWTHROUGH_SMTP_SECURITY"] == "none"
        assert variables["FOLLOWTHROUGH_DIGEST_TO"] == "operators@followthrough.example"


def test_a_mail_server_that_was_brought_along_has_a_port_and_security_of_its_own(
    home: Home, held: PortReservations
) -> None:
    environment = {"FOLLOWTHROUGH_SMTP_HOST": "mail.example"}

    state = laid_out(home, held, environment)

    for variables in (supervised(home, state, environment), joined_to(home, environment)):
        assert variables["FOLLOWTHROUGH_SMTP_HOST"] == "mail.example"
        of_the_sandbox = {"FOLLOWTHROUGH_SMTP_PORT", "FOLLOWTHROUGH_SMTP_SECURITY", "FOLLOWTHROUGH_DIGEST_TO"}
        assert not of_the_sandbox & variables.keys()


def test_the_sandbox_is_left_out_once_nothing_needs_it(home: Home, held: PortReservations) -> None:
    assert "sandbox" not in absent_processes(PROVIDERS, ())

    state = laid_out(home, held, PROVIDERS | {"FOLLOWTHROUGH_SMTP_HOST": "mail.example"})

    assert state.absent["sandbox"] == "brought along"
    assert state.smtp_address is None
