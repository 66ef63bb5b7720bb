from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from modelport.core.errors import ModelCannotBeLoaded, ResourceExhausted
from modelport.server import memory_limit
from modelport.server.multi_model.residents import Opened, Residents


class Shelf:
    """Models of a size on disk, and what became of them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **sizes: int) -> None:
        monkeypatch.setattr(memory_limit, "resident_bytes", lambda: 0)  # only what is on disk counts
        self.models = {name: folder / name for name in sizes}
        for name, size in sizes.items():
            self.models[name].write_bytes(bytes(size))
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.broken: set[str] = set()
        self.now = 0.0

    async def open(self, name: str, path: Path) -> Opened:
        await checkpoint()
        self.opened.append(name)
        if name in self.broken:
            raise ValueError("not a model")
        return Opened(lambda request, reply: None, lambda: self.closed.append(name))

    def clock(self) -> float:
        self.now += 1
        return self.now

    def residents(self, budget: int, max_waiting: int = 100) -> Residents:
        return Residents(self.models, self.open, budget, max_waiting, self.clock)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Shelf]:
    return lambda **sizes: Shelf(tmp_path, monkeypatch, **sizes)


async def used(residents: Residents, name: str) -> None:
    if residents.hold(name) is None:
        await residents.load(name)
    residents.release(name)


@pytest.mark.anyio
async def test_a_model_is_loaded_once_and_stays(shelf: Callable[..., Shelf]) -> None:
    models = shelf(a=10, b=10)
    residents = models.residents(budget=20)
    for name in ("a", "b", "a", "a", "b"):
        await used(residents, name)
    assert models.opened == ["a", "b"]
    assert residents.size == 20
    residents.close()
    assert models.closed == ["a", "b"]


@pytest.mark.anyio
async def test_many_who_ask_at_once_wait_for_one_loading(shelf: Callable[..., Shelf]) -> None:
    models = shelf(a=10)
    residents = models.residents(budget=20)
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(used, residents, "a")
    assert models.opened == ["a"]


@pytest.mark.anyio
async def test_the_least_recently_used_makes_room(shelf: Callable[..., Shelf]) -> None:
    models = shelf(a=10, b=10, c=10)
    residents = models.residents(budget=20)
    for name in ("a", "b", "a", "c"):
        await used(residents, name)
    assert models.closed == ["b"]
    assert set(residents.names) == {"a", "c"}


@pytest.mark.anyio
async def test_a_model_in_use_is_not_evicted_but_waited_for(shelf: Callable[..., Shelf]) -> None:
    models = shelf(a=10, b=10)
    residents = models.residents(budget=10)
    await residents.load("a")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(used, residents, "b")
        for _ in range(20):
            await checkpoint()
        assert models.closed == []
        assert "a" in residents
        residents.release("a")
    assert models.closed == ["a"]
    assert residents.names == ("b",)


@pytest.mark.anyio
async def test_whoever_finds_no_room_for_too_long_is_told(
    shelf: Callable[..., Shelf], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelport.server.multi_model.residents._PATIENCE_S", 0.05)
    models = shelf(a=10, b=10)
    residents = models.residents(budget=10)
    await residents.load("a")
    with pytest.raises(ResourceExhausted, match="no room in memory for the model `b`"):
        await residents.load("b")
    assert residents.names == ("a",)


@pytest.mark.anyio
async def test_a_broken_model_is_not_tried_with_each_request(shelf: Callable[..., Shelf]) -> None:
    models = shelf(a=10)
    models.broken = {"a"}
    residents = models.residents(budget=20)
    for _ in range(3):
        with pytest.raises(ModelCannotBeLoaded, match="The model `a` cannot be loaded: ValueError: not a model"):
            await residents.load("a")
    assert models.opened == ["a"]
    models.broken = set()
    models.now += 60
    await used(residents, "a")
    assert "a" in residents


@pytest.mark.anyio
async def test_no_more_wait_than_may(shelf: Callable[..., Shelf]) -> None:
    models = shelf(a=10, b=10)
    residents = models.residents(budget=10, max_waiting=1)
    await residents.load("a")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(used, residents, "b")
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ResourceExhausted, match="1 requests wait"):
            await residents.load("b")
        residents.release("a")
