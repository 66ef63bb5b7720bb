"""What every driver must do; subclass `DriverConformance` and give it a `subject` fixture."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import anyio
import httpx
import pytest

from modelport.core.errors import ImageNotFound, ReplicaCannotStart
from modelport.core.replicas import EnvVar, LogLine, Replica, ReplicaSpec, ReplicaState, Resources
from modelport.drivers.base import Driver, DriverState

OWNER = "projects/p/models/m/versions/v"
AIP = (EnvVar("AIP_FRAMEWORK", "CUSTOM_CONTAINER"), EnvVar("AIP_MODEL_NAME", "m"), EnvVar("AIP_VERSION_NAME", "v"))

Start = Callable[..., Awaitable[ReplicaSpec]]
T = TypeVar("T")


@dataclass(frozen=True)
class Subject:
    """A driver under test.

    Attributes:
        make: builds a new driver object over the same substrate.
        image: tests/images/echo, as a user would name it.
        missing_image: a well-formed name of an image that is nowhere.
        runs_programs: False for a driver that only plays at running the image.
        survives: whether replicas outlive the driver object.
        read_only_models: whether a replica is kept from writing to its model folder.
        starts_missing_commands: whether a command that is not there gives a dead replica (code 127), not an error.
        sees_memory: whether facts tell of the memory limit that is enforced.
        inside: the command that runs the image's server, before its arguments.
        deadline_s: how long one replica may take to start or stop.
    """

    make: Callable[[], Driver]
    image: str
    missing_image: str
    runs_programs: bool = True
    survives: bool = True
    read_only_models: bool = False
    starts_missing_commands: bool = False
    sees_memory: bool = False
    inside: tuple[str, ...] = ("python3", "server.py")
    deadline_s: float = 20


async def find(driver: Driver, name: str) -> Replica | None:
    found = [replica for replica in await driver.list() if replica.name == name]
    assert len(found) <= 1, found
    return found[0] if found else None


async def until(
    read: Callable[[], Awaitable[T]], holds: Callable[[T], bool], *, deadline_s: float = 20, period_s: float = 0.02
) -> T:
    """Read again and again until what is read is as wanted."""
    with anyio.fail_after(deadline_s):
        while True:
            if holds(seen := await read()):
                return seen
            await anyio.sleep(period_s)


async def until_state(
    driver: Driver, name: str, state: ReplicaState, *, attempt: int | None = None, deadline_s: float = 20
) -> Replica:
    found = await until(
        lambda: find(driver, name),
        lambda replica: replica is not None and replica.state is state and attempt in (None, replica.attempt),
        deadline_s=deadline_s,
    )
    assert found is not None
    return found


async def until_serving(driver: Driver, name: str, *, deadline_s: float = 20) -> Replica:
    """Wait until the replica answers its health route with 200, and fail when it dies before."""
    with anyio.fail_after(deadline_s):
        while True:
            replica = await find(driver, name)
            if replica is not None and replica.state is not ReplicaState.STARTING:
                assert replica.state is ReplicaState.RUNNING, replica
                try:
                    if (await ask(replica, "/health")).status_code == 200:
                        return replica
                except httpx.TransportError:
                    pass
            await anyio.sleep(0.02)


async def ask(replica: Replica, path: str, body: Any = None) -> httpx.Response:
    # Loading certificates for what is plain HTTP would take longer than the call.
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=5) as client:
        url = f"http://{replica.address}{path}"
        return await (client.get(url) if body is None else client.post(url, json=body))


async def logged(driver: Driver, name: str, *, tail: int = 1000) -> list[LogLine]:
    return [line async for line in driver.logs(name, tail=tail)]


async def until_logged(driver: Driver, name: str, text: str, *, deadline_s: float = 10) -> list[LogLine]:
    return await until(
        lambda: logged(driver, name), lambda lines: any(text in line.text for line in lines), deadline_s=deadline_s
    )


def texts(lines: list[LogLine], stream: str = "stdout") -> list[str]:
    return [line.text for line in lines if line.stream == stream]


@pytest.mark.anyio
class DriverConformance:
    @pytest.fixture
    def driver(self, subject: Subject) -> Driver:
        return subject.make()

    @pytest.fixture
    async def start(self, subject: Subject, driver: Driver) -> AsyncIterator[Start]:
        """Ensure a replica of the echo image: `await start(CRASH="3", spec={"attempt": 2})`; all are stopped after."""
        names: set[str] = set()

        async def run(
            base: ReplicaSpec | None = None, *, spec: dict[str, Any] | None = None, **env: str
        ) -> ReplicaSpec:
            if base is None:
                name = f"mp-m-v-{secrets.token_hex(5)}-0"
                base = ReplicaSpec(name, OWNER, await driver.pin(subject.image), aip=AIP)
            variables = base.env + tuple(EnvVar(key, value) for key, value in env.items())
            wanted = replace(base, env=variables, **(spec or {}))
            names.add(wanted.name)
            await driver.ensure(wanted)
            return wanted

        yield run
        with anyio.CancelScope(shield=True):
            for name in names:
                await driver.stop(name, grace_s=0)

    async def test_a_working_substrate_is_healthy(self, driver: Driver) -> None:
        assert (await driver.health()).state is DriverState.HEALTHY

    async def test_pinning_an_image_twice_gives_one_reference(self, subject: Subject, driver: Driver) -> None:
        pinned = await driver.pin(subject.image)
        assert await driver.pin(subject.image) == pinned
        assert await driver.pin(pinned) == pinned

    async def test_pinning_a_missing_image_raises_image_not_found(self, subject: Subject, driver: Driver) -> None:
        with pytest.raises(ImageNotFound) as caught:
            await driver.pin(subject.missing_image)
        assert caught.value.hint

    async def test_a_replica_comes_to_run_and_answers(self, driver: Driver, start: Start) -> None:
        spec = await start()
        replica = await until_serving(driver, spec.name)
        assert (replica.owner, replica.digest, replica.attempt) == (spec.owner, spec.digest, 1)
        assert replica.started_at is not None
        assert replica.exit is None
        answer = await ask(replica, "/predict", {"instances": [[1.5, "ü"], 2]})
        assert answer.json() == {"predictions": [[1.5, "ü"], 2]}

    async def test_ensuring_a_running_replica_again_changes_nothing(self, driver: Driver, start: Start) -> None:
        spec = await start()
        before = await until_serving(driver, spec.name)
        await driver.ensure(spec)
        assert await find(driver, spec.name) == before

    async def test_ensuring_twice_at_once_starts_one(self, driver: Driver, start: Start) -> None:
        template = await start()
        await driver.stop(template.name, grace_s=0)
        before = len(texts(await logged(driver, template.name)))
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(driver.ensure, template)
        await until_serving(driver, template.name)
        assert len(texts(await logged(driver, template.name))) == before + 1

    async def test_the_environment_is_what_the_invocation_says(self, driver: Driver, start: Start) -> None:
        spec = await start(FIRST="1", SECOND="$(FIRST)2", LITERAL="$$(FIRST)", SHELL_LIKE="$AIP_MODEL_NAME", EMPTY="")
        replica = await until_serving(driver, spec.name)
        env = (await ask(replica, "/env")).json()
        assert (
            env.items()
            >= {
                "AIP_FRAMEWORK": "CUSTOM_CONTAINER",
                "AIP_MODEL_NAME": "m",
                "AIP_STORAGE_URI": "",
                "FIRST": "1",
                "SECOND": "12",
                "LITERAL": "$(FIRST)",
                "SHELL_LIKE": "$AIP_MODEL_NAME",
                "EMPTY": "",
            }.items()
        )
        assert env["AIP_HTTP_PORT"] == env["PORT"]

    async def test_the_environment_of_the_control_plane_stays_outside(
        self, driver: Driver, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("AWS_SECRET_ACCESS_KEY", "MODELPORT_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS", "SOME_PASSWORD"):
            monkeypatch.setenv(name, "of-the-control-plane")
        spec = await start()
        env = (await ask(await until_serving(driver, spec.name), "/env")).json()
        assert "of-the-control-plane" not in json.dumps(env)

    async def test_references_in_command_and_args_are_expanded(
        self, subject: Subject, driver: Driver, start: Start
    ) -> None:
        args = ("--port=$(AIP_HTTP_PORT)", "$(GREETING)", "$AIP_VERSION_NAME", "$(UNKNOWN)", "two words; $HOME")
        spec = await start(spec={"command": subject.inside, "args": args}, GREETING="hello")
        replica = await until_serving(driver, spec.name)
        port = (await ask(replica, "/env")).json()["AIP_HTTP_PORT"]
        assert (await ask(replica, "/argv")).json() == [
            f"--port={port}", "hello", "v", "$(UNKNOWN)", "two words; $HOME",
        ]  # fmt: skip

    async def test_the_model_folder_is_visible(
        self, subject: Subject, driver: Driver, start: Start, tmp_path: Path
    ) -> None:
        if not subject.runs_programs:
            pytest.skip("no program that could read it")
        model_dir = tmp_path / "model"
        (model_dir / "sub").mkdir(parents=True)
        (model_dir / "sub" / "weights.txt").write_text("42")
        spec = await start(spec={"model_dir": PurePosixPath(model_dir)})
        replica = await until_serving(driver, spec.name)
        assert (await ask(replica, "/files")).json() == {"sub/weights.txt": "42"}
        if subject.read_only_models:
            assert (await ask(replica, "/write")).json()["written"] is False
            assert not (model_dir / "written").exists()

    async def test_an_exit_code_is_reported(self, subject: Subject, driver: Driver, start: Start) -> None:
        spec = await start(CRASH="3")
        replica = await until_state(driver, spec.name, ReplicaState.EXITED, deadline_s=subject.deadline_s)
        assert replica.exit is not None
        assert (replica.exit.code, replica.exit.signal, replica.exit.oom_killed) == (3, None, False)
        assert replica.exit.finished_at is not None
        assert replica.digest == spec.digest

    async def test_ensuring_a_dead_replica_leaves_it_dead(self, driver: Driver, start: Start) -> None:
        spec = await start(CRASH="3")
        await until_state(driver, spec.name, ReplicaState.EXITED)
        await driver.ensure(spec)
        await anyio.sleep(0.2)
        assert (await until_state(driver, spec.name, ReplicaState.EXITED)).attempt == 1
        assert len(texts(await logged(driver, spec.name))) == 1

    async def test_a_higher_attempt_replaces_a_dead_replica(self, driver: Driver, start: Start) -> None:
        spec = await start(CRASH="3")
        await until_state(driver, spec.name, ReplicaState.EXITED)
        await start(spec, spec={"attempt": 2})
        replica = await until_state(driver, spec.name, ReplicaState.EXITED, attempt=2)
        assert replica.digest == spec.digest

    async def test_a_higher_attempt_replaces_a_running_replica(self, driver: Driver, start: Start) -> None:
        spec = await start()
        await until_serving(driver, spec.name)
        await start(spec, spec={"attempt": 2})
        assert (await until_serving(driver, spec.name)).attempt == 2

    async def test_another_digest_replaces_a_running_replica(self, driver: Driver, start: Start) -> None:
        spec = await start()
        await until_serving(driver, spec.name)
        changed = await start(spec, COLOUR="blue")
        replica = await until_serving(driver, spec.name)
        assert replica.digest == changed.digest != spec.digest
        assert (await ask(replica, "/env")).json()["COLOUR"] == "blue"

    async def test_a_new_driver_finds_every_replica(self, subject: Subject, driver: Driver, start: Start) -> None:
        if not subject.survives:
            pytest.skip("replicas of this driver end with it")
        running, dead = await start(), await start(CRASH="3")
        before = await until_serving(driver, running.name)
        await until_state(driver, dead.name, ReplicaState.EXITED)
        other = subject.make()
        assert await find(other, running.name) == before
        assert (await until_state(other, dead.name, ReplicaState.EXITED)).exit is not None
        await other.ensure(running)
        assert await find(other, running.name) == before
        await other.stop(running.name, grace_s=5)
        assert await find(driver, running.name) is None

    async def test_stopping_a_missing_replica_succeeds(self, driver: Driver) -> None:
        await driver.stop(f"mp-m-v-{secrets.token_hex(5)}-0", grace_s=1)

    async def test_a_stopped_replica_is_gone_and_answers_no_more(self, driver: Driver, start: Start) -> None:
        spec = await start()
        replica = await until_serving(driver, spec.name)
        await driver.stop(spec.name, grace_s=5)
        await driver.stop(spec.name, grace_s=5)
        assert await find(driver, spec.name) is None
        with pytest.raises(httpx.TransportError):
            await ask(replica, "/health")

    async def test_stopping_a_dead_replica_removes_it(self, driver: Driver, start: Start) -> None:
        spec = await start(CRASH="3")
        await until_state(driver, spec.name, ReplicaState.EXITED)
        await driver.stop(spec.name, grace_s=5)
        assert await find(driver, spec.name) is None

    async def test_a_polite_replica_is_stopped_before_its_grace_ends(self, driver: Driver, start: Start) -> None:
        spec = await start()
        await until_serving(driver, spec.name)
        with anyio.fail_after(30):
            await driver.stop(spec.name, grace_s=30)

    async def test_a_stubborn_replica_is_killed_after_its_grace(
        self, subject: Subject, driver: Driver, start: Start
    ) -> None:
        if not subject.runs_programs:
            pytest.skip("no program that could be stubborn")
        spec = await start(STUBBORN="1")
        replica = await until_serving(driver, spec.name)
        began = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: driver.stop(spec.name, grace_s=1))
            await anyio.sleep(0.5)
            assert (await ask(replica, "/health")).status_code == 200
        assert 1 <= anyio.current_time() - began < 1 + subject.deadline_s
        assert await find(driver, spec.name) is None

    async def test_a_missing_command_is_named(self, subject: Subject, driver: Driver, start: Start) -> None:
        if not subject.runs_programs:
            pytest.skip("no program is looked for")
        # An engine refuses such a container; without one it starts and ends at once. Both say which command it was.
        if not subject.starts_missing_commands:
            with pytest.raises(ReplicaCannotStart, match="no-such-command"):
                await start(spec={"command": ("no-such-command",)})
            return
        spec = await start(spec={"command": ("no-such-command",)})
        replica = await until_state(driver, spec.name, ReplicaState.EXITED)
        assert replica.exit is not None
        assert replica.exit.code == 127
        assert "no-such-command" in replica.message

    async def test_both_streams_are_logged_in_order_with_their_times(self, driver: Driver, start: Start) -> None:
        spec = await start()
        await until_serving(driver, spec.name)
        lines = await until(lambda: logged(driver, spec.name), lambda lines: bool(texts(lines, "stderr")))
        assert any("listening on" in text for text in texts(lines))
        times = [line.time for line in lines if line.time]
        assert len(times) == len(lines)
        assert all(time.utcoffset() is not None for time in times)

    async def test_a_log_tail_has_the_last_lines(self, subject: Subject, driver: Driver, start: Start) -> None:
        if not subject.runs_programs:
            pytest.skip("no program that could print")
        spec = await start()
        replica = await until_serving(driver, spec.name)
        for number in range(5):
            await ask(replica, f"/print?line-{number}")
        await until_logged(driver, spec.name, "line-4")
        assert [line.text for line in await logged(driver, spec.name, tail=2)] == ["line-3", "line-4"]
        assert await logged(driver, spec.name, tail=0) == []

    async def test_logs_outlive_death_replacement_and_stop(self, driver: Driver, start: Start) -> None:
        spec = await start(CRASH="3")
        await until_state(driver, spec.name, ReplicaState.EXITED)
        await until_logged(driver, spec.name, "listening on")
        await start(spec, spec={"attempt": 2})
        await until_state(driver, spec.name, ReplicaState.EXITED, attempt=2)

        def attempts(lines: list[LogLine]) -> list[int]:
            return [line.attempt for line in lines if line.stream == "stdout"]

        await until(lambda: logged(driver, spec.name), lambda lines: attempts(lines) == [1, 2], deadline_s=10)
        await driver.stop(spec.name, grace_s=0)
        assert attempts(await logged(driver, spec.name)) == [1, 2]

    async def test_logs_of_an_unknown_name_are_empty(self, driver: Driver) -> None:
        assert await logged(driver, "mp-unknown-v-0123456789-0") == []
        assert await logged(driver, "../../etc") == []

    async def test_followed_logs_show_new_lines(self, subject: Subject, driver: Driver, start: Start) -> None:
        if not subject.runs_programs:
            pytest.skip("no program that could print")
        spec = await start()
        replica = await until_serving(driver, spec.name)
        await until_logged(driver, spec.name, "listening on")
        seen: list[str] = []
        with anyio.fail_after(subject.deadline_s):
            async with aclosing(driver.logs(spec.name, tail=1000, follow=True)) as lines:  # type: ignore[type-var]
                async for line in lines:
                    if line.stream == "stdout":
                        seen.append(line.text)
                        if len(seen) == 3:
                            break
                        await ask(replica, f"/print?new-{len(seen)}")
        assert seen[1:] == ["new-1", "new-2"]

    async def test_events_name_a_replica_that_died(self, subject: Subject, driver: Driver, start: Start) -> None:
        spec = await start()
        await until_serving(driver, spec.name)
        named = anyio.Event()

        async def listen() -> None:
            async for name in driver.events():
                if name == spec.name:
                    named.set()

        with anyio.fail_after(subject.deadline_s):
            async with anyio.create_task_group() as group:
                group.start_soon(listen)
                await anyio.sleep(0.3)
                named = anyio.Event()  # what the listener saw first does not count
                await driver.stop(spec.name, grace_s=1)
                await named.wait()
                group.cancel_scope.cancel()

    async def test_facts_show_where_a_replica_listens(self, subject: Subject, driver: Driver, start: Start) -> None:
        spec = await start()
        replica = await until_serving(driver, spec.name)
        facts = await driver.facts(spec.name)
        assert facts is not None
        assert facts.attempt == 1
        assert facts.sockets is not None
        assert len(facts.sockets) == 1
        if subject.runs_programs:
            env = (await ask(replica, "/env")).json()
            assert facts.sockets[0].port == int(env["AIP_HTTP_PORT"])
            assert facts.sockets[0].program.startswith("python")
            assert facts.sockets[0].pid in {process.pid for process in facts.processes or ()}

    async def test_facts_show_what_a_replica_runs_and_uses(
        self, subject: Subject, driver: Driver, start: Start
    ) -> None:
        if not subject.runs_programs:
            pytest.skip("no program that could use anything")
        memory = Resources(memory_bytes=256 * 1024**2) if subject.sees_memory else Resources()
        spec = await start(spec={"command": subject.inside, "args": ("--flag",), "resources": memory})
        await until_serving(driver, spec.name)
        facts = await driver.facts(spec.name)
        assert facts is not None
        assert facts.command[-2:] == (subject.inside[-1], "--flag")
        assert any(process.command[-1:] == ("--flag",) for process in facts.processes or ())
        assert facts.entry is not None
        assert facts.entry.exists
        assert facts.entry.mode & 0o111
        assert facts.entry.head.startswith(("\x7fELF", "#!"))
        assert (facts.cpu_s or 0) > 0
        assert (facts.memory_bytes or 0) > 1024**2
        assert facts.memory_limit_bytes == memory.memory_bytes
        assert facts.image is not None
        assert facts.image.architecture == (await driver.host_facts()).architecture

    async def test_facts_of_a_dead_replica_are_what_is_still_known(
        self, subject: Subject, driver: Driver, start: Start
    ) -> None:
        spec = await start(CRASH="3")
        await until_state(driver, spec.name, ReplicaState.EXITED)
        facts = await driver.facts(spec.name)
        assert facts is not None
        assert facts.sockets is None
        assert facts.processes is None
        assert not facts.oom_kills
        if subject.runs_programs:
            assert facts.command
            assert facts.entry is not None
            assert facts.entry.exists

    async def test_a_missing_replica_has_no_facts(self, driver: Driver, start: Start) -> None:
        spec = await start()
        await driver.stop(spec.name, grace_s=0)
        assert await driver.facts(spec.name) is None
        for name in ("mp-unknown-v-0123456789-0", "../../etc", ".", ""):
            assert await driver.facts(name) is None

    async def test_an_image_has_facts_once_it_is_here(self, subject: Subject, driver: Driver) -> None:
        pinned = await driver.pin(subject.image)
        facts = await driver.image_facts(pinned)
        assert facts is not None
        assert facts.reference == pinned
        for missing in (subject.missing_image, "../../etc", "", "a b"):
            assert await driver.image_facts(missing) is None

    async def test_the_host_has_facts(self, driver: Driver) -> None:
        facts = await driver.host_facts()
        assert facts.driver == driver.name
        assert facts.driver_version

    async def test_ten_replicas_start_at_once(self, driver: Driver, start: Start, subject: Subject) -> None:
        template = await start()
        specs = [replace(template, name=template.name[:-1] + str(number)) for number in range(1, 10)]
        async with anyio.create_task_group() as group:
            for spec in specs:
                group.start_soon(start, spec)
        replicas = [await until_serving(driver, spec.name, deadline_s=3 * subject.deadline_s) for spec in specs]
        assert len({str(replica.address) for replica in replicas}) == len(specs)
        async with anyio.create_task_group() as group:
            for spec in specs:
                group.start_soon(lambda name: driver.stop(name, grace_s=5), spec.name)
        assert not {spec.name for spec in specs} & {replica.name for replica in await driver.list()}


def host_process_lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
