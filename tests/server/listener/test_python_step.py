import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import numpy as np
import pytest

from modelport.core.errors import (
    Error,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    ModelCannotBeLoaded,
    ResourceExhausted,
    StepTimeout,
)
from modelport.server.listener.declaration import Runs, Step
from modelport.server.listener.steps.functions import Functions, load_function
from modelport.server.listener.steps.python_step import PythonStep
from modelport.server.listener.steps.services import Services
from modelport.server.listener.steps.work import Context

pytestmark = pytest.mark.anyio

CODE = """
import os, signal, sys, time
import numpy as np

print("imported")

def double(rows): return [row * 2 for row in rows]
def with_parameters(rows, parameters, headers=None): return [[row, parameters, headers] for row in rows]
def added(left, right): return [a + b for a, b in zip(left, right)]
def scaled(rows): return np.asarray(rows) * 0.5
def process(rows): return [os.getpid() for _ in rows]
def act(rows):
    from modelport.core.errors import FailedPrecondition
    class Mine(FailedPrecondition): pass
    if rows[0] == "refuse": raise ValueError("too old")
    if rows[0] == "fail": raise RuntimeError("no idea")
    if rows[0] == "leave": sys.exit(3)
    if rows[0] == "scalar": return 7
    if rows[0] == "unsendable": return [lambda: 1]
    if rows[0] == "strange": return [Strange()]
    if rows[0] == "own": raise Mine("not today", hint="Come tomorrow", row="1")
    if rows[0] == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if rows[0] == "exit": os._exit(7)
    if rows[0] == "hang": time.sleep(60)
    return [os.getpid() for _ in rows]
async def waited(rows):
    import anyio
    await anyio.sleep(0)
    return [row + 1 for row in rows]
async def asked(rows, client): return [(await client.get(row)).text for row in rows]

class Strange:
    def __reduce__(self): return Strange.read, (os.getpid(),)
    @staticmethod
    def read(pid):
        if pid != os.getpid(): raise OSError("not here")
class Scaler:
    made = 0
    def __init__(self): Scaler.made += 1; self.by = 3
    def __call__(self, rows): return [row * self.by for row in rows]
    def other(self, rows): return [row + Scaler.made for row in rows]
    @staticmethod
    def fixed(rows): return rows
class Stored:
    def __init__(self, folder): self.folder = folder
    @classmethod
    def from_path(cls, folder): return cls(folder)
    def __call__(self, rows): return [self.folder for _ in rows]
class Needy:
    def __init__(self, something): pass
class Broken:
    def __init__(self): raise OSError("no weights")
number = 3
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "steps_of_test", raising=False)
    (tmp_path / "steps_of_test.py").write_text(CODE)
    return tmp_path


@asynccontextmanager
async def started(python: str | Callable[..., Any], folder: Path, **declared: Any) -> AsyncIterator[PythonStep]:
    if isinstance(python, str) and ":" not in python:
        python = f"steps_of_test.py:{python}"
    services = Services()
    step = PythonStep(Step("tested", python=python, **{"workers": 1} | declared), Functions(folder), services)
    await step.start()
    try:
        yield step
    finally:
        await step.close()
        await services.close()


async def ask(step: PythonStep, rows: Any, **parameters: Any) -> Any:
    return await step.run({"": rows}, Context(parameters, {"x-who": "me"}))


async def error_of(step: PythonStep, rows: Any) -> Error:
    with pytest.raises(Error) as caught:
        await ask(step, rows)
    return caught.value


@pytest.mark.parametrize("runs", [Runs.INLINE, Runs.THREADS])
async def test_a_function_is_called_wherever_it_runs(folder, runs):
    async with started("double", folder, runs=runs) as step:
        assert await ask(step, [1, 2]) == [2, 4]
        assert await ask(step, []) == []


@pytest.mark.parametrize("runs", list(Runs))
async def test_a_coroutine_function_is_awaited_wherever_it_runs(folder, runs):
    async with started("waited", folder, runs=runs) as step:
        assert await ask(step, [1, 2]) == [2, 3]


@pytest.mark.parametrize("runs", list(Runs))
async def test_a_function_is_given_what_it_names(folder, runs):
    async with started("with_parameters", folder, runs=runs) as step:
        assert await ask(step, [1], top=3) == [[1, {"top": 3}, {"x-who": "me"}]]


async def test_several_sources_are_arguments_by_their_names(folder):
    async with started("added", folder, sources={"right": "a", "left": "b"}) as step:
        assert await step.run({"left": [1], "right": [2]}, Context()) == [3]


async def test_one_client_is_there_for_those_who_ask_for_it(folder):
    async def asked(rows, client):
        return [client] * len(rows)

    functions, services = Functions(folder), Services()
    steps = [PythonStep(Step(name, python=asked), functions, services) for name in "ab"]
    clients = []
    for step in steps:
        await step.start()
        clients += await ask(step, [1])
    assert isinstance(clients[0], httpx.AsyncClient)
    assert clients[0] is clients[1]
    await services.close()
    assert clients[0].is_closed


async def test_arrays_go_to_processes_and_come_back_as_arrays(folder):
    rows = np.arange(300_000.0).reshape(-1, 3)
    async with started("scaled", folder, runs=Runs.PROCESSES) as step:
        given = await ask(step, rows)
        assert isinstance(given, np.ndarray)
        assert given.flags.writeable
        np.testing.assert_array_equal(given, rows * 0.5)
        np.testing.assert_array_equal(await ask(step, rows[::2]), rows[::2] * 0.5)


@pytest.mark.parametrize("runs", list(Runs))
async def test_what_the_code_raises_is_told_as_what_it_means(folder, runs, caplog):
    async with started("act", folder, runs=runs) as step:
        for rows, kind, words in [
            (["refuse"], InvalidArgument, "The step `tested` refuses the instances: ValueError: too old"),
            (["fail"], Internal, "The step `tested` failed: RuntimeError: no idea"),
            (["leave"], Internal, "The step `tested` failed: SystemExit: 3"),
            (["scalar"], Internal, "one value of type `int`"),
        ]:
            error = await error_of(step, rows)
            assert type(error) is kind
            assert words in error.message
        error = await error_of(step, ["own"])
        assert isinstance(error, FailedPrecondition)
        assert (error.message, error.hint, error.metadata) == ("not today", "Come tomorrow", {"row": "1"})
        if runs is Runs.PROCESSES:
            (before,) = await ask(step, ["go"])
            assert "The step `tested` failed" in (await error_of(step, ["unsendable"])).message
            assert "gives cannot be read here" in (await error_of(step, ["strange"])).message
            assert "is given cannot be told to its process" in (await error_of(step, [lambda: 1])).message
            assert await ask(step, ["go"]) == [before]
        assert len(await ask(step, ["go"])) == 1


@pytest.mark.slow
async def test_a_killed_process_is_replaced_and_fails_its_own_call_only(folder):
    async with started("act", folder, runs=Runs.PROCESSES, workers=2) as step:
        answers: list[Any] = []

        async def one(rows: list[str]) -> None:
            try:
                answers.append(await ask(step, rows))
            except Error as error:
                answers.append(error)

        async with anyio.create_task_group() as tasks:
            for rows in (["kill"], ["go"], ["go"], ["exit"], ["go"]):
                tasks.start_soon(one, rows)
        errors = [one for one in answers if isinstance(one, Error)]
        assert all(type(one) is Internal for one in errors)
        assert sorted(one.message for one in errors) == [
            "The process of the step `tested` ended with code 7 during the call",
            "The process of the step `tested` was killed by signal 9 (often: out of memory) during the call",
        ]
        assert len([one for one in answers if not isinstance(one, Error)]) == 3


async def test_a_process_that_is_killed_between_calls_costs_no_call(folder):
    async with started("process", folder, runs=Runs.PROCESSES) as step:
        (pid,) = await ask(step, [1])
        os.kill(pid, signal.SIGKILL)
        while not ended(pid):
            await anyio.sleep(0.01)
        (other,) = await ask(step, [1])
        assert other != pid
    with pytest.raises(ProcessLookupError):
        os.kill(other, 0)


def ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@pytest.mark.slow
async def test_a_process_that_hangs_is_killed_and_replaced(folder):
    async with started("act", folder, runs=Runs.PROCESSES, timeout_s=0.4) as step:
        error = await error_of(step, ["hang"])
        assert isinstance(error, StepTimeout)
        assert "0.4 s" in error.message
        with anyio.fail_after(20):
            while True:
                try:
                    await ask(step, ["go"])
                    break
                except StepTimeout:  # while the other process starts
                    pass


async def test_a_thread_that_hangs_takes_one_place_only(folder):
    release = threading.Event()

    def act(rows):
        if rows[0] == "hang":
            release.wait(20)
        return rows

    async with started(act, folder, workers=2, timeout_s=0.2) as step:
        try:
            assert isinstance(await error_of(step, ["hang"]), StepTimeout)
            assert await ask(step, ["go"]) == ["go"]
            assert isinstance(await error_of(step, ["hang"]), StepTimeout)
            assert isinstance(await error_of(step, ["go"]), StepTimeout)  # nobody is left
        finally:
            release.set()
        assert await ask(step, ["go"]) == ["go"]


async def test_a_call_that_was_given_up_before_its_turn_is_not_made(folder):
    release, made = threading.Event(), []

    def act(rows):
        made.append(rows)
        release.wait(20)
        return rows

    async with started(act, folder, concurrency=2) as step, anyio.create_task_group() as tasks:
        tasks.start_soon(ask, step, ["first"])
        while not made:
            await anyio.sleep(0.001)
        with anyio.move_on_after(0.02):
            await ask(step, ["second"])
        release.set()
        await ask(step, ["third"])
    assert made == [["first"], ["third"]]


@pytest.mark.parametrize("declared", [{"concurrency": 3}, {"runs": Runs.THREADS, "workers": 3, "sync": True}])
async def test_no_more_calls_at_once_than_there_are_places(folder, declared):
    now, most, lock = 0, 0, threading.Lock()

    def come() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)

    def go() -> None:
        nonlocal now
        with lock:
            now -= 1

    async def waits(rows):
        come()
        await anyio.sleep(0.005)
        go()
        return rows

    def sleeps(rows):
        come()
        time.sleep(0.005)
        go()
        return rows

    function = sleeps if declared.pop("sync", False) else waits
    async with started(function, folder, **declared) as step, anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(ask, step, [number])
    assert (now, most) == (0, 3)


async def test_who_finds_no_place_to_wait_is_refused(folder):
    release = anyio.Event()

    async def act(rows):
        await release.wait()
        return rows

    async with started(act, folder, concurrency=1, max_waiting=1) as step, anyio.create_task_group() as tasks:
        for number in range(2):
            tasks.start_soon(ask, step, [number])
        await anyio.wait_all_tasks_blocked()
        error = await error_of(step, [3])
        assert isinstance(error, ResourceExhausted)
        assert "1 calls wait for the step `tested`" in error.message
        release.set()
    async with started(act, folder, concurrency=1, max_waiting=0) as step:
        assert await ask(step, [1]) == [1]


async def test_a_coroutine_that_takes_too_long_is_ended(folder):
    ended = []

    async def act(rows):
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(1)

    async with started(act, folder, timeout_s=0.02) as step:
        assert isinstance(await error_of(step, [1]), StepTimeout)
    assert ended == [1]


async def test_a_timeout_of_the_code_itself_is_its_own_failure(folder):
    async def act(rows):
        raise TimeoutError("the database")

    async with started(act, folder, timeout_s=5) as step:
        error = await error_of(step, [1])
    assert isinstance(error, Internal)
    assert "TimeoutError: the database" in error.message


@pytest.mark.parametrize(
    ("python", "runs", "words"),
    [
        ("broken.py:f", Runs.THREADS, "`broken.py` cannot be imported"),
        ("added", Runs.THREADS, "cannot be called with one argument, the rows"),
        ("Broken", Runs.PROCESSES, "OSError: no weights"),
    ],
)
async def test_code_that_cannot_be_loaded_is_told_at_the_start(folder, python, runs, words):
    (folder / "broken.py").write_text("import nothing_of_this_name")
    with pytest.raises(ModelCannotBeLoaded) as caught:
        async with started(python, folder, runs=runs):
            pass
    assert words in caught.value.message


async def test_a_function_without_a_name_cannot_run_in_processes(folder):
    with pytest.raises(ModelCannotBeLoaded, match="cannot be found by a name in another process"):
        async with started(lambda rows: rows, folder, runs=Runs.PROCESSES):
            pass


async def test_what_a_step_cannot_give_is_refused_at_the_start(folder):
    def wants_client(rows, client):
        return rows

    def wants_headers(rows, headers):
        return rows

    with pytest.raises(ModelCannotBeLoaded, match="takes `client`, which is asynchronous"):
        async with started(wants_client, folder):
            pass
    with pytest.raises(ModelCannotBeLoaded, match="max_rows: 8"):
        async with started(wants_headers, folder, max_rows=8):
            pass


def test_a_class_is_made_once_and_a_file_imported_once(folder, capsys):
    functions = Functions(folder)
    assert functions.load("steps_of_test.py:Scaler")([1]) == [3]
    assert functions.load("steps_of_test.py:Scaler")([1]) == [3]
    assert functions.load("steps_of_test.py:Scaler.other")([1]) == [2]
    assert functions.load("steps_of_test.py:Scaler.fixed")([1]) == [1]
    assert capsys.readouterr().out == "imported\n"


def test_a_class_with_from_path_is_given_the_folder_of_the_model(folder, tmp_path):
    assert load_function("steps_of_test.py:Stored", folder)([1]) == [str(folder)]
    assert Functions(folder, tmp_path / "model").load("steps_of_test.py:Stored")([1]) == [str(tmp_path / "model")]


def test_a_module_is_found_beside_the_declaration(folder):
    assert load_function("steps_of_test:double", folder)([1]) == [2]
    assert load_function("math:sqrt", folder)(4) == 2


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("steps_of_test.py", "does not say where a function is"),
        ("steps_of_test.py:two words", "does not say where a function is"),
        ("other.py:f", "does not exist; looked in"),
        ("no_such_module_here:f", "No module named `no_such_module_here`"),
        ("steps_of_test.py:doubel", "holds no `doubel`"),
        ("steps_of_test.py:Scaler.none", "`Scaler` has no `none`"),
        ("steps_of_test.py:Needy", "is constructed with `something`"),
        ("steps_of_test.py:number", "is of the type `int`, which cannot be called"),
    ],
)
def test_a_target_that_leads_nowhere_is_told(folder, target, words):
    with pytest.raises(ModelCannotBeLoaded) as caught:
        load_function(target, folder)
    assert words in caught.value.message
    assert caught.value.hint
