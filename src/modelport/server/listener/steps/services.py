"""The HTTP client with which steps call other services: one for all of them, made when the first one wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx


class Services:
    """Holds the client."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    def client(self) -> httpx.AsyncClient:
        """Return the client."""
        if self._client is None:
            import httpx  # only for steps that ask for it

            self._client = httpx.AsyncClient()
        return self._client

    async def close(self) -> None:
        """Close the client's connections."""
        if self._client is not None:
            await self._client.aclose()
