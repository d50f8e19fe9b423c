"""How an HTTP answer, or none, tells what happened at a provider."""

import asyncio

import httpx

from contracts.providers import ProviderFailed, ProviderSilent


async def send(client: httpx.AsyncClient, request: httpx.Request, *, provider: str, timeout_s: float) -> httpx.Response:
    """Send the request; `provider` names whom to, for errors, and has `timeout_s` for its whole answer.

    Returns any answer in JSON but that of a rate limit or an unavailable service. Raises ProviderFailed when the
    request certainly had no effect, ProviderSilent when that is not known.
    """
    request.extensions["timeout"] = httpx.Timeout(timeout_s).as_dict()
    try:
        # httpx bounds each read; an answer that drips in would outlast them all.
        async with asyncio.timeout(timeout_s):
            response = await client.send(request)
    except TimeoutError as error:
        raise ProviderSilent(f"{provider} gave no answer within {timeout_s:g} s") from error
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise ProviderFailed(f"{provider} cannot be reached: {type(error).__name__}") from error
    except httpx.TransportError as error:
        raise ProviderSilent(f"{provider} gave no answer: {type(error).__name__}") from error
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise ProviderFailed(f"{provider} limits our rate", retry_after_s=_retry_after(response))
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        raise ProviderFailed(f"{provider} is unavailable", retry_after_s=_retry_after(response))
    try:
        response.json()
    except ValueError as error:
        raise ProviderSilent(f"{provider} answered {response.status_code}, and not in JSON") from error
    return response


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, section 10.2.3); its date form is not used by our providers."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else None
