"""A Unix socket before an engine's, that can be taken away with all its connections and put back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import ByteStream, SocketStream


@asynccontextmanager
async def unix_proxy(path: Path, engine: str) -> AsyncIterator[None]:
    """Forward `path` to the engine while the context is open; then nobody listens there any more."""

    async def serve(near: SocketStream) -> None:
        upstream = await anyio.connect_unix(engine.removeprefix("unix://"))
        async with near, upstream as far, anyio.create_task_group() as group:
            group.start_soon(_copy, near, far)
            await _copy(far, near)
            group.cancel_scope.cancel()

    await anyio.Path(path).unlink(missing_ok=True)
    async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield
        group.cancel_scope.cancel()


async def _copy(source: ByteStream, target: ByteStream) -> None:
    try:
        async for data in source:
            await target.send(data)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass
