from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modelport.control.model_rules import ModelDraft
from modelport.control.models import Models
from modelport.control.operations import Operations
from modelport.core.names import ModelName, OperationName
from modelport.core.resources import Operation
from modelport.store.store import Store

pytestmark = pytest.mark.anyio


async def test_two_operations_in_one_millisecond_have_two_names(tmp_path: Path) -> None:
    store = Store(tmp_path / "m.db")
    models = Models(store, lambda: datetime(2026, 1, 1, tzinfo=UTC), lambda name: None)
    await models.create("p", ModelDraft(id="iris"))
    patched = [await models.patch(ModelName("p", "iris"), ModelDraft(), "description") for _ in range(3)]
    names = [view.operation.name.operation for view in patched]
    assert names == ["update_iris-1767225600000", "update_iris-1767225600001", "update_iris-1767225600002"]
    store.close()


async def test_only_operations_that_ended_long_ago_are_forgotten(tmp_path: Path) -> None:
    store = Store(tmp_path / "m.db")
    days = iter(datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 20))
    models = Models(store, lambda: next(days), lambda name: None)
    await models.create("p", ModelDraft(id="iris"))
    old, new = [(await models.patch(ModelName("p", "iris"), ModelDraft(), "description")).operation for _ in range(2)]
    assert old.end_time is not None
    running = replace(old, name=OperationName("p", "running"), done=False, end_time=None)
    await store.write(lambda tx: tx.insert(running))
    operations = Operations(store, lambda: next(days), lambda name: None)
    assert await operations.sweep(ended_before=old.end_time + timedelta(seconds=1)) == 1
    left = await store.read(lambda tx: tx.all(Operation))
    assert {operation.name for operation in left} == {new.name, running.name}
    store.close()
