"""What a format is: how rows and predictions are written in bytes, in both directions.

A listener reads a call in the caller's format and writes it in the model server's, and the answer the other way round;
between them are rows (`model.Batch`), so that N formats need no N x N converters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from modelport.core.errors import ModelServerGarbled
from modelport.server.exchange import JSON, Request, Response
from modelport.server.listener.declaration import Model
from modelport.server.model import Batch, Parameters


@dataclass(slots=True)
class Message:
    """A body on its way to or from a model server; names of headers in lower case, without content-type and length."""

    body: bytes
    content_type: bytes = JSON
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Call:
    """What a caller wants, in whatever format it was written.

    Attributes:
        batch: the rows.
        parameters: those for the model.
        identity: what the caller calls the request, or None.
        outputs: the names of the outputs that are wanted, and whether in binary form; empty: all there are.
        binary: outputs are wanted in binary form where nothing else is said.
        columns: the answer is wanted by columns, not by rows.
        content_type: in which the answer is wanted, where a format knows several; empty: the usual one.
    """

    batch: Batch
    parameters: Parameters = field(default_factory=dict)
    identity: str | None = None
    outputs: Mapping[str, bool] = field(default_factory=dict)
    binary: bool = False
    columns: bool = False
    content_type: bytes = b""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a model server says about an error of its own.

    Attributes:
        status: of HTTP, by what it means: some servers use one for several things.
        words: its own; empty where it says nothing.
    """

    status: int
    words: str


class Format(Protocol):
    """One format, seen from both sides. Not for several threads at once.

    Attributes:
        name: as it is declared.
        about: what it is, in one sentence.
        row_by_row: a request of this format carries one row only; of several rows, each is sent by itself. Its
            `read_answer` gives a list of one, so that the answers of several rows can be put together whatever they
            are.
    """

    name: str
    about: str
    row_by_row: bool

    def speaks(self, request: Request) -> bool:
        """Return whether a caller's request looks like this format, by its headers and first bytes."""
        ...

    def read_call(self, request: Request) -> Call:
        """Return what a caller wants.

        Raises:
            InvalidArgument: the body is not of the format; says what and where.
        """
        ...

    def write_call(self, call: Call, model: Model) -> Message:
        """Return the request to a model server.

        Raises:
            InvalidArgument: the rows cannot be written in this format.
        """
        ...

    def read_answer(self, message: Message, model: Model) -> Batch:
        """Return the predictions in a model server's answer with a good status.

        Raises:
            ModelServerGarbled: it is not of the format.
        """
        ...

    def write_answer(self, batch: Batch, call: Call, name: str) -> Response:
        """Return the answer to a caller; `name` is that of the target that predicted.

        To a call without rows an empty list is the answer, and no model is asked.
        """
        ...

    def read_failure(self, message: Message) -> Failure:
        """Return what a model server says about an error of its own."""
        ...

    def write_failure(self, error: Exception) -> Response:
        """Return a failure as callers of this format expect it."""
        ...


def garbled(message: Message, model: Model, wanted: str, reason: object = "") -> ModelServerGarbled:
    """Return the error of an answer that is not of the declared format.

    Args:
        message: the answer.
        model: who gave it.
        wanted: what an answer of the format is.
        reason: why this one is none, where more can be said than what it begins with.
    """
    seen = reason or f"`{message.body[:80].decode('utf-8', 'backslashreplace')}`"
    return ModelServerGarbled(
        f"The answer of `{model.server}` for the model `{model.name}` is not {wanted}: {seen}",
        hint=f"It is declared as `format: {model.format}` at `{model.path}`: compare with what it answers there",
        model=model.name,
    )
