"""The API as a fixture. Building it takes half a second, so it is built once; each test finds it empty."""

from collections.abc import AsyncIterator, Iterator

import pytest

from modelport.core.resources import Model, Operation, Version
from modelport.store.store import Tx
from tests.api.world import Api, client_of, open_api


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    api = open_api(tmp_path_factory.mktemp("api"))
    yield api
    api.store.close()


@pytest.fixture
async def api(built: Api) -> AsyncIterator[Api]:
    await built.store.write(_empty)
    built.woken.clear()
    async with client_of(built.app) as client:
        built.client = client
        yield built


def _empty(tx: Tx) -> None:
    for kind in (Model, Version, Operation):
        for resource in tx.all(kind):
            tx.delete(kind, resource.name)
