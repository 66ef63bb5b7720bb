import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import select

from modelport.core.errors import Aborted, AlreadyExists, Code, InvalidArgument, ModelNotFound, Status
from modelport.core.names import ModelName, OperationName, VersionName
from modelport.core.resources import (
    ContainerSpec,
    Model,
    Operation,
    OperationType,
    Version,
    VersionSpec,
    VersionState,
    VersionStatus,
)
from modelport.store import store as store_module
from modelport.store import tables
from modelport.store.store import Store, Tx

NOW = datetime(2026, 11, 21, tzinfo=UTC)

pytestmark = pytest.mark.anyio


def model(name: str, **fields: object) -> Model:
    return Model(ModelName("p", name), NOW, **fields)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path / "m.db")
    yield store
    store.close()


async def test_a_version_comes_back_as_it_was_inserted(store: Store) -> None:
    version = Version(
        VersionName("p", "m", "v"),
        "uid",
        VersionSpec(ContainerSpec("image", args=("a",), ports=(1,))),
        NOW,
        labels={"a": "b"},
        status=VersionStatus(VersionState.FAILED, error=Status(Code.UNAVAILABLE, "no", "REASON", "hint", {"k": "v"})),
    )
    await store.write(lambda tx: tx.insert(version))
    assert await store.read(lambda tx: tx.get(Version, version.name)) == version


async def test_a_version_from_before_there_were_runtimes_is_read(store: Store) -> None:
    version = Version(VersionName("p", "m", "v"), "uid", VersionSpec(ContainerSpec("image")), NOW)
    await store.write(lambda tx: tx.insert(version))

    def forget_fields(tx: Tx) -> None:
        body = json.loads(tx._connection.scalar(select(tables.versions.c.body)))
        del body["spec"]["runtime"], body["status"]["framework"]
        tx._connection.execute(tables.versions.update().values(body=json.dumps(body)))

    await store.write(forget_fields)
    assert await store.read(lambda tx: tx.get(Version, version.name)) == version


async def test_a_missing_model_is_named_in_the_error(store: Store) -> None:
    with pytest.raises(ModelNotFound, match="projects/p/models/no"):
        await store.read(lambda tx: tx.get(Model, ModelName("p", "no")))


async def test_several_are_found_at_once_and_missing_ones_left_out(store: Store) -> None:
    for name in ("a", "b", "c"):
        await store.write(lambda tx, name=name: tx.insert(model(name)))
    names = [ModelName("p", name) for name in ("a", "c", "no")]
    found = await store.read(lambda tx: tx.find_each(Model, names))
    assert found == {"projects/p/models/a": model("a"), "projects/p/models/c": model("c")}


async def test_an_update_of_a_stale_copy_is_aborted(store: Store) -> None:
    first = await store.write(lambda tx: tx.insert(model("m")))
    await store.write(lambda tx: tx.update(replace(first, description="new")))
    with pytest.raises(Aborted):
        await store.write(lambda tx: tx.update(replace(first, description="newer")))
    assert (await store.read(lambda tx: tx.get(Model, first.name))).description == "new"


async def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    def insert_twice(tx):
        tx.insert(model("other"))
        tx.insert(model("other"))

    with pytest.raises(AlreadyExists):
        await store.write(insert_twice)
    assert await store.read(lambda tx: tx.count(Model, "projects/p")) == 0


async def test_pages_cover_the_list_once_in_order(store: Store) -> None:
    names = [f"m{i:03}" for i in range(45)]

    def fill(tx):
        for name in reversed(names):
            tx.insert(model(name))

    await store.write(fill)
    seen, token = [], ""
    while True:
        page = await store.read(lambda tx, token=token: tx.list(Model, "projects/p", page_size=20, page_token=token))
        seen += [m.name.model for m in page.items]
        token = page.next_page_token
        if not token:
            break
    assert seen == names


async def test_a_filter_reads_on_until_the_page_is_full(store: Store) -> None:
    def fill(tx):
        for i in range(450):
            tx.insert(model(f"m{i:03}", labels={"odd": str(i % 2)}))

    await store.write(fill)

    def odd(m: Model) -> bool:
        return m.labels["odd"] == "1"

    seen, token = [], ""
    while True:
        page = await store.read(
            lambda tx, token=token: tx.list(Model, "projects/p", page_size=100, page_token=token, where=odd)
        )
        seen += page.items
        token = page.next_page_token
        if not token:
            break
    assert len(seen) == len({m.name for m in seen}) == 225


@pytest.mark.parametrize("token", ["%", "bm9uc2Vuc2U", "eA", "\x00"])
async def test_a_foreign_page_token_is_refused(store: Store, token: str) -> None:
    with pytest.raises(InvalidArgument):
        await store.read(lambda tx: tx.list(Model, "projects/p", page_size=1, page_token=token))


async def test_only_operations_that_are_not_done_are_running(store: Store) -> None:
    def operation(name: str, done: bool) -> Operation:
        return Operation(OperationName("p", name), OperationType.CREATE_VERSION, f"t-{name}", NOW, done=done)

    def fill(tx):
        tx.insert(operation("a", False))
        tx.insert(operation("b", True))

    await store.write(fill)
    running = await store.read(lambda tx: tx.running_operations())
    assert [op.name.operation for op in running] == ["a"]


async def test_the_schema_named_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(store_module.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == store_module.SCHEMA


async def test_what_was_written_survives_a_new_store(tmp_path: Path) -> None:
    first = Store(tmp_path / "m.db")
    await first.write(lambda tx: tx.insert(model("m")))
    first.close()
    second = Store(tmp_path / "m.db")
    assert (await second.read(lambda tx: tx.find(Model, ModelName("p", "m")))) == model("m")
    second.close()
