"""Columns by name in JSON: read into a batch, with as many rows in each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelport.core.errors import InvalidArgument
from modelport.server.listener.formats.json_body import batch_in
from modelport.server.model import Batch


def columns_in(columns: Mapping[str, Any], where: str) -> Batch:
    """Return the columns of an object.

    Args:
        columns: what stands in the object.
        where: how messages call it, such as `inputs`.

    Raises:
        InvalidArgument: one is no list, or they are not of one length.
    """
    batch: dict[str, Any] = {}
    for name, values in columns.items():
        if not isinstance(values, list):
            raise InvalidArgument(
                f"`{where}.{name}` is not a list",
                hint=f'Send {{"{where}": {{"{name}": [...]}}}}, one entry for each row',
            )
        batch[name] = batch_in(values)
    if len({len(values) for values in batch.values()}) > 1:
        told = ", ".join(f"`{name}` {len(values)}" for name, values in batch.items())
        raise InvalidArgument(
            f"The columns of `{where}` have different numbers of rows: {told}", hint="Send one entry for each row"
        )
    return batch
