"""A request whose instances go different ways: each is answered by its own target, in its own place."""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from modelport.server.listener.router import Router
from modelport.server.listener.steps.blame import renumbered
from modelport.server.listener.steps.rows_apart import Part, picked, together
from modelport.server.listener.steps.work import Context, Work
from modelport.server.model import Batch


class EachWay:
    """Parts the rows by what the router says of each, and works on all parts at the same time; itself a work."""

    def __init__(self, router: Router, works: Mapping[str, Work]) -> None:
        """Take what parts the rows, and the works by the names of targets."""
        self._router = router
        self._works = works

    async def run(self, inputs: Mapping[str, Batch], context: Context) -> Batch:
        """Return what the targets give, in the order of the rows. The first that fails gives up the others."""
        batch = inputs[""]
        ways = self._router.split(batch)
        if len(ways) == 1:
            (target,) = ways
            return await self._works[target].run(inputs, context)
        parts: list[Part] = []
        failures: list[Exception] = []

        async with anyio.create_task_group() as tasks:

            async def go(target: str, rows: list[int]) -> None:
                try:
                    given = await self._works[target].run({"": picked(batch, rows)}, context)
                    parts.append(Part(rows, given))
                except Exception as error:  # told once, and not as one of a group
                    failures.append(renumbered(error, rows))
                    tasks.cancel_scope.cancel()

            for target, rows in ways.items():
                tasks.start_soon(go, target, rows)
        if failures:
            raise failures[0]
        return together(parts).batch
