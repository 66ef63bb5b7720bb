from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelport.control.model_rules import ModelDraft
from modelport.control.models import Models
from modelport.core.names import ModelName
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
