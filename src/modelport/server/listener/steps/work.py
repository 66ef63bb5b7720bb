"""What every step of a stack does, whatever it is: rows in, rows out, and where the time went."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from modelport.server.model import Batch, Parameters


@dataclass(slots=True)
class Context:
    """One request as the steps see it.

    Attributes:
        parameters: those of the request.
        headers: of the request, names in lower case.
        spans: name of a step and the seconds it took, in the order in which they ended; for `server-timing`.
    """

    parameters: Parameters = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    spans: list[tuple[str, float]] = field(default_factory=list)


class Work(Protocol):
    """A step that is ready to run: a model that can be asked, or a function."""

    async def run(self, inputs: Mapping[str, Batch], context: Context) -> Batch:
        """Return one batch with as many rows as each of the inputs, which are named by argument ("" for the only one).

        Raises:
            Error: what the caller is to be told.
        """
        ...


def given(work: Work, names: Collection[str] | None) -> Work:
    """Return work that sees only the parameters of these names; None: all of them."""
    return work if names is None else _Given(work, frozenset(names))


@dataclass(frozen=True, slots=True)
class _Given:
    work: Work
    names: frozenset[str]

    async def run(self, inputs: Mapping[str, Batch], context: Context) -> Batch:
        parameters = {name: value for name, value in context.parameters.items() if name in self.names}
        return await self.work.run(inputs, replace(context, parameters=parameters))
