"""The transport: the one place where the SDK speaks HTTP; retries, and raises the classes of `core.errors`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from modelport.core.errors import ControlPlaneUnreachable, DeadlineExceeded, Error, InvalidArgument
from modelport.sdk.statuses import error_from_response

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_LONGEST_RETRY_AFTER_S = 5.0


class Transport:
    """Sends requests to one endpoint. A call that changes nothing is retried where the error says it may help."""

    def __init__(
        self,
        endpoint: str,
        *,
        attempts: int = 4,
        backoff_s: float = 0.1,
        sleep: Callable[[float], None] = time.sleep,
        http: httpx.BaseTransport | None = None,
    ) -> None:
        self.endpoint = _with_scheme(endpoint)
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._sleep = sleep
        # A proxy of the environment is for the world outside; it cannot reach this machine's loopback.
        local = urlsplit(self.endpoint).hostname in _LOOPBACK
        self._http = httpx.Client(base_url=self.endpoint, transport=http, trust_env=not local)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        timeout_s: float = 30,
        idempotent: bool | None = None,
    ) -> Any:
        """Send one request and return its JSON, or its text where the answer is not JSON.

        Args:
            method: HTTP method.
            path: below the endpoint, such as `/v1/projects/p/models`.
            params: query.
            body: sent as JSON; bytes and text are sent as they are.
            timeout_s: longest silence.
            idempotent: whether it may be sent again; by default only GET.

        Raises:
            Error: the class that the control plane raised.
            ControlPlaneUnreachable: nothing answered.
        """
        again = method == "GET" if idempotent is None else idempotent
        headers = {"content-type": "application/json"} if body is not None else {}
        encoded = {"content": body} if isinstance(body, str | bytes) else {"json": body} if body is not None else {}
        for attempt in range(1, self._attempts + 1):
            try:
                with self._translating():
                    response = self._http.request(
                        method,
                        path,
                        params=params,
                        headers=headers,
                        timeout=httpx.Timeout(timeout_s, connect=5),
                        **encoded,
                    )
            except Error as error:
                if not again or attempt == self._attempts or not error.code.retryable:
                    raise
                self._sleep(self._backoff_s * 2 ** (attempt - 1))
                continue
            if response.status_code < 400:
                return _content(response)
            refusal = error_from_response(response.status_code, response.content)
            if not again or attempt == self._attempts or not refusal.code.retryable:
                raise refusal
            self._sleep(_retry_after(response) or self._backoff_s * 2 ** (attempt - 1))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def lines(self, path: str, *, params: Mapping[str, str] | None = None) -> Iterator[str]:
        """Yield the lines of a streamed answer as they arrive; an endless one goes on until the consumer stops."""
        with self._translating(), self._http.stream("GET", path, params=params, timeout=None) as response:
            if response.status_code >= 400:
                raise error_from_response(response.status_code, response.read())
            yield from (line for line in response.iter_lines() if line)

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ControlPlaneUnreachable(
                f"Nothing answers at `{self.endpoint}`: {_reason(error)}",
                hint="Start it with `modelport serve`, or name the right address with --endpoint or MODELPORT_ENDPOINT",
                endpoint=self.endpoint,
            ) from error
        except httpx.TimeoutException as error:
            raise DeadlineExceeded(
                f"`{self.endpoint}` accepted the request but did not answer in time",
                hint="See how it is with `modelport status`",
                endpoint=self.endpoint,
            ) from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise InvalidArgument(
                f"`{self.endpoint}` is not an address of a control plane: {error}",
                hint="Write it as http://HOST:PORT",
            ) from error
        except httpx.RequestError as error:
            raise ControlPlaneUnreachable(
                f"The connection to `{self.endpoint}` broke: {_reason(error)}",
                hint="See how it is with `modelport status`",
                endpoint=self.endpoint,
            ) from error


def _with_scheme(endpoint: str) -> str:
    return (endpoint if "://" in endpoint else f"http://{endpoint}").rstrip("/")


def _content(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text


def _retry_after(response: httpx.Response) -> float:
    value = response.headers.get("retry-after", "")
    return min(float(value), _LONGEST_RETRY_AFTER_S) if value.isdigit() else 0.0


def _reason(error: Exception) -> str:
    """Return the plain words of the operating system where there are any, such as `Connection refused`."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__
