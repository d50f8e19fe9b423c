"""Every behaviour of the mail server: what the client sees, what is kept, what a repeat gets."""

import asyncio
import signal
import time

import aiosmtplib
import pytest

from tests.integration.sandbox.conftest import Sandbox, Start, json_of, mail

MESSAGE_ID = "<welcome@followthrough.example>"


async def kept(sandbox: Sandbox, to: str) -> int:
    return len(await sandbox.inbox(to))


async def refusal(sandbox: Sandbox, to: str) -> tuple[int, str]:
    """The code and the enhanced code (RFC 3463) that a mail is refused with, at whatever stage."""
    async with sandbox.smtp() as client:
        try:
            await client.mail("hello@followthrough.example")
            await client.rcpt(to)
            await client.data(mail(to, MESSAGE_ID).as_bytes())
        except aiosmtplib.SMTPResponseException as refused:
            return refused.code, refused.message.split()[0]
    pytest.fail("the mail was accepted")


async def logged(sandbox: Sandbox, to: str) -> list[tuple[str | None, str | None, int | None, bool]]:
    seen = await sandbox.attempts(to)
    return [(attempt["key"], attempt["fault"], attempt["status"], attempt["replayed"]) for attempt in seen]


@pytest.mark.parametrize(
    ("behaviour", "status", "reply", "key"),
    [
        ("rate_limit", 451, "4.7.1", None),
        ("decline", 550, "5.1.1", None),
        ("unavailable", 421, "4.3.2", None),
        ("error_before", 451, "4.3.0", MESSAGE_ID),
    ],
)
async def test_a_refused_mail_is_not_kept_and_a_repeat_works(
    sandbox: Sandbox, to: str, behaviour: str, status: int, reply: str, key: str | None
) -> None:
    await sandbox.fault(to, "email", "send", behaviour, times=2)

    refusals = [await refusal(sandbox, to) for _ in range(2)]
    kept_so_far = await kept(sandbox, to)
    await sandbox.send(to)

    assert refusals == [(status, reply)] * 2
    assert kept_so_far == 0
    assert await kept(sandbox, to) == 1
    assert await logged(sandbox, to) == [(key, behaviour, status, False)] * 2 + [(MESSAGE_ID, None, 250, False)]


@pytest.mark.parametrize(("behaviour", "status"), [("rate_limit", 451), ("decline", 550), ("error_before", 451)])
async def test_a_fault_may_name_a_message_id(sandbox: Sandbox, to: str, behaviour: str, status: int) -> None:
    message_id = f"<{behaviour}-{to}>"
    await sandbox.fault(message_id, "email", "send", behaviour)

    await sandbox.send(to)
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await sandbox.send(to, message_id)
    await sandbox.send(to, message_id)

    assert refused.value.code == status
    assert await logged(sandbox, to) == [
        (MESSAGE_ID, None, 250, False),
        (message_id, behaviour, status, False),
        (message_id, None, 250, False),
    ]


async def test_a_refused_recipient_does_not_keep_a_mail_from_the_others(sandbox: Sandbox, to: str) -> None:
    await sandbox.fault(to, "email", "send", "decline")

    async with sandbox.smtp() as client:
        refused, _ = await client.send_message(mail(f"{to}, other-{to}", MESSAGE_ID))

    assert {address: reply.code for address, reply in refused.items()} == {to: 550}
    assert (await kept(sandbox, to), await kept(sandbox, f"other-{to}")) == (0, 1)


async def test_an_outage_meets_every_client_before_it_names_anyone_until_it_is_cleared(start: Start, to: str) -> None:
    async with start() as sandbox:
        outage = await sandbox.fault("*", "email", "send", "unavailable", times=None)

        for _ in range(2):
            async with sandbox.smtp() as client:
                with pytest.raises(aiosmtplib.SMTPSenderRefused) as refused:
                    await client.send_message(mail(to, MESSAGE_ID))
                assert refused.value.code == 421
                assert not client.is_connected

        seen = json_of(await sandbox.http.get("/requests", params={"provider": "email"}))["requests"]
        assert [(attempt["to"], attempt["fault"], attempt["status"]) for attempt in seen] == [
            (None, "unavailable", 421)
        ] * 2
        assert await sandbox.times_fired(outage) == 2
        await sandbox.http.delete("/faults")
        await sandbox.send(to)
        assert await kept(sandbox, to) == 1


async def test_a_mail_is_kept_though_the_connection_breaks_before_the_answer(sandbox: Sandbox, to: str) -> None:
    await sandbox.fault(to, "email", "send", "error_after")

    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await sandbox.send(to)

    assert await kept(sandbox, to) == 1
    await sandbox.send(to)
    assert await kept(sandbox, to) == 2
    assert await logged(sandbox, to) == [(MESSAGE_ID, "error_after", None, False), (MESSAGE_ID, None, 250, True)]


async def test_silence_comes_after_the_mail_is_kept(sandbox: Sandbox, to: str) -> None:
    silence = await sandbox.fault(to, "email", "send", "timeout_after")
    unanswered = asyncio.create_task(sandbox.send(to))
    await sandbox.has_fired(silence)

    await sandbox.send(to)

    assert not unanswered.done()
    assert await kept(sandbox, to) == 2
    assert await logged(sandbox, to) == [(MESSAGE_ID, "timeout_after", None, False), (MESSAGE_ID, None, 250, True)]
    unanswered.cancel()
    with pytest.raises(asyncio.CancelledError):
        await unanswered


async def test_a_client_that_outlasts_the_silence_is_cut_off(sandbox: Sandbox, to: str) -> None:
    await sandbox.fault(to, "email", "send", "timeout_after", delay_s=0.05)

    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await sandbox.send(to)

    assert await kept(sandbox, to) == 1


async def test_a_slow_answer_is_a_normal_one(sandbox: Sandbox, to: str) -> None:
    await sandbox.fault(to, "email", "send", "slow", delay_s=0.05)
    began = time.monotonic()

    reply = await sandbox.send(to)

    assert reply == "2.0.0 Kept"
    assert time.monotonic() - began >= 0.05
    assert await logged(sandbox, to) == [(MESSAGE_ID, "slow", 250, False)]


async def test_a_slow_mail_is_kept_though_its_client_is_gone(sandbox: Sandbox, to: str) -> None:
    slow = await sandbox.fault(to, "email", "send", "slow", delay_s=0.3)
    client = sandbox.smtp()
    await client.connect()
    unanswered = asyncio.create_task(client.send_message(mail(to, MESSAGE_ID)))
    await sandbox.has_fired(slow)
    client.close()
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await unanswered

    assert await kept(sandbox, to) == 0
    async with asyncio.timeout(5):
        while not await kept(sandbox, to):
            pass


async def test_a_fault_of_mail_meets_nothing_else(sandbox: Sandbox, order_id: str, to: str) -> None:
    fault = await sandbox.fault(order_id, "email", "send", "decline")

    assert (await sandbox.charge(order_id)).status_code == 200
    await sandbox.send(to)
    assert await sandbox.times_fired(fault) == 0


async def test_a_mail_that_is_too_large_uses_up_no_fault(sandbox: Sandbox, to: str) -> None:
    fault = await sandbox.fault(to, "email", "send", "error_after")

    async with sandbox.smtp() as client:
        with pytest.raises(aiosmtplib.SMTPSenderRefused, match="552"):
            await client.sendmail("hello@followthrough.example", [to], b"x" * 98 + b"\r\n" * 600_000)

    assert await sandbox.times_fired(fault) == 0


async def test_a_stop_ends_silences_and_does_delayed_work_at_once(start: Start, to: str) -> None:
    async with start() as sandbox:
        silence = await sandbox.fault(to, "email", "send", "timeout_after")
        slow = await sandbox.fault(f"slow-{to}", "email", "send", "slow", delay_s=60)
        unanswered = asyncio.create_task(sandbox.send(to))
        delayed = asyncio.create_task(sandbox.send(f"slow-{to}"))
        await sandbox.has_fired(silence)
        await sandbox.has_fired(slow)

        async with sandbox.smtp():
            sandbox.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(3):
                assert await sandbox.process.wait() == 0

        assert await delayed == "2.0.0 Kept"
        with pytest.raises(aiosmtplib.SMTPServerDisconnected):
            await unanswered
    async with start() as sandbox:
        assert (await kept(sandbox, to), await kept(sandbox, f"slow-{to}")) == (1, 1)
