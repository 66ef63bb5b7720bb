"""What only containers have: limits in force, pinned images, isolation, and an engine that goes away."""

import base64
import errno
import json
import secrets
import socket
import tarfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from threading import Thread

import anyio
import anyio.abc
import pytest

from modelport.core.errors import EngineUnreachable, ImageNotFound, ReplicaCannotStart
from modelport.core.replicas import EnvVar, Replica, ReplicaSpec, ReplicaState, Resources
from modelport.drivers.base import DriverState
from modelport.drivers.docker import DockerDriver
from modelport.drivers.docker_spec import ContainerSettings, container_name, create_body
from tests.conformance.driver import OWNER, ask, find, logged, texts, until, until_serving, until_state
from tests.conftest import missing
from tests.engines import engine_api, private_engines
from tests.engines.fixtures import ECHO_IMAGE
from tests.engines.unix_proxy import unix_proxy

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.anyio]

MakeDriver = Callable[..., DockerDriver]


@pytest.fixture
async def make_driver(echo_engine: str, tmp_path: Path) -> AsyncIterator[MakeDriver]:
    """Make drivers of one installation, or of another one; what they started is stopped after the test."""
    made: list[DockerDriver] = []
    own = secrets.token_hex(4)

    def make(host: str = echo_engine, installation: str = own, **settings: int) -> DockerDriver:
        log_dir = tmp_path / "logs" / installation
        made.append(DockerDriver(host, installation=installation, log_dir=log_dir, **settings))
        return made[-1]

    yield make
    for driver in made:
        if (await driver.health()).state is DriverState.HEALTHY:
            for replica in await driver.list():
                await driver.stop(replica.name, grace_s=0)
        await driver.close()


@pytest.fixture
def driver(make_driver: MakeDriver) -> DockerDriver:
    return make_driver()


@pytest.fixture
async def echo(driver: DockerDriver) -> ReplicaSpec:
    return ReplicaSpec(f"mp-m-v-{secrets.token_hex(5)}-0", OWNER, await driver.pin(ECHO_IMAGE))


async def run_python(driver: DockerDriver, echo: ReplicaSpec, program: str, **changes: object) -> tuple[Replica, str]:
    """Run a program to its end in the image and return the dead replica and what it printed."""
    spec = replace(echo, command=("python3", "-c", program), **changes)  # type: ignore[arg-type]
    await driver.ensure(spec)
    replica = await until_state(driver, spec.name, ReplicaState.EXITED)
    return replica, "\n".join(texts(await logged(driver, spec.name)))


async def test_a_replica_that_exceeds_its_memory_is_killed(driver: DockerDriver, echo: ReplicaSpec) -> None:
    limits = Resources(memory_bytes=64 * 1024**2)
    replica, output = await run_python(driver, echo, "print(1, flush=True); bytearray(300 << 20)", resources=limits)
    assert output == "1"
    assert replica.exit is not None
    assert (replica.exit.code, replica.exit.signal) == (137, 9)
    assert replica.exit.oom_killed


async def test_a_replica_cannot_exceed_its_processes(driver: DockerDriver, echo: ReplicaSpec) -> None:
    program = """
import subprocess
try:
    running = [subprocess.Popen(["sleep", "9"]) for _ in range(40)]
except BlockingIOError:
    print("refused")
"""
    _, output = await run_python(driver, echo, program, resources=Resources(pids=20))
    assert output == "refused"


async def test_a_replica_has_no_capabilities_and_gains_no_privileges(driver: DockerDriver, echo: ReplicaSpec) -> None:
    _, output = await run_python(driver, echo, "print(open('/proc/self/status').read())")
    status = dict(line.split(":\t", 1) for line in output.splitlines() if ":\t" in line)
    assert {int(status[key], 16) for key in ("CapEff", "CapPrm", "CapBnd", "CapInh")} == {0}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


async def test_a_server_may_listen_on_a_low_port(driver: DockerDriver, echo: ReplicaSpec) -> None:
    await driver.ensure(replace(echo, port=80))
    replica = await until_serving(driver, echo.name)
    assert (await ask(replica, "/env")).json()["AIP_HTTP_PORT"] == "80"


async def test_the_model_folder_is_a_read_only_file_system(
    driver: DockerDriver, echo: ReplicaSpec, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    await driver.ensure(replace(echo, model_dir=PurePosixPath(tmp_path / "model")))
    replica = await until_serving(driver, echo.name)
    assert (await ask(replica, "/write")).json() == {"written": False, "errno": errno.EROFS}


async def test_a_program_without_a_signal_handler_ends_at_once(driver: DockerDriver, echo: ReplicaSpec) -> None:
    await driver.ensure(replace(echo, command=("python3", "-c", "import time; time.sleep(100)")))
    await until_state(driver, echo.name, ReplicaState.RUNNING)
    with anyio.fail_after(20):
        await driver.stop(echo.name, grace_s=60)


async def test_a_command_without_args_does_not_get_those_of_the_image(driver: DockerDriver, echo: ReplicaSpec) -> None:
    await driver.ensure(replace(echo, command=("printf", "<%s>\\n")))
    await until_state(driver, echo.name, ReplicaState.EXITED)
    assert texts(await logged(driver, echo.name)) == ["<>"]


async def test_args_alone_replace_those_of_the_image(driver: DockerDriver, echo: ReplicaSpec) -> None:
    await driver.ensure(replace(echo, args=("printf", "<%s>\\n", "$(AIP_HTTP_PORT)")))
    await until_state(driver, echo.name, ReplicaState.EXITED)
    assert texts(await logged(driver, echo.name)) == ["<8080>"]


async def test_the_environment_of_the_image_does_not_win(
    driver: DockerDriver, echo: ReplicaSpec, echo_engine: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {ECHO_IMAGE}\nENV AIP_HTTP_PORT=1 AIP_MODEL_NAME=image OWN=image\n")
    engine_api.build_image(echo_engine, tmp_path, "localhost/modelport-test-env:1")
    image = await driver.pin("localhost/modelport-test-env:1")
    await driver.ensure(replace(echo, image=image, aip=(EnvVar("AIP_MODEL_NAME", "m"),)))
    env = (await ask(await until_serving(driver, echo.name), "/env")).json()
    assert (env["AIP_HTTP_PORT"], env["AIP_MODEL_NAME"], env["OWN"]) == ("8080", "m", "image")


async def test_a_pinned_image_stays_when_its_tag_moves(
    driver: DockerDriver, echo: ReplicaSpec, echo_engine: str, tmp_path: Path
) -> None:
    tag = f"localhost/modelport-test-moving:{secrets.token_hex(4)}"
    images = []
    for number in (1, 2):
        (tmp_path / "Dockerfile").write_text(f"FROM {ECHO_IMAGE}\nENV RELEASE={number} TAG={tag}\n")
        engine_api.build_image(echo_engine, tmp_path, tag)
        images.append(await driver.pin(tag))
    assert images[0] != images[1]
    await driver.ensure(replace(echo, image=images[0]))
    assert (await ask(await until_serving(driver, echo.name), "/env")).json()["RELEASE"] == "1"
    await driver.stop(echo.name, grace_s=0)
    for image in images:
        engine_api.remove_image(echo_engine, image)


async def test_a_removed_image_is_named_when_a_replica_needs_it(driver: DockerDriver, echo: ReplicaSpec) -> None:
    gone = "sha256:" + "0" * 64
    with pytest.raises(ImageNotFound, match=echo.name) as caught:
        await driver.ensure(replace(echo, image=gone))
    assert gone in caught.value.message
    assert await driver.list() == []


@pytest.mark.parametrize(
    "image", ["file:///srv/model", "/srv/model", "./model", "../../containers/json", "a b", "", "x?y=1", "x#y", "a\n"]
)
async def test_what_is_no_image_name_never_reaches_the_engine(driver: DockerDriver, image: str) -> None:
    with pytest.raises(ImageNotFound) as caught:
        await driver.pin(image)
    assert caught.value.hint


async def test_a_registry_that_refuses_is_quoted(driver: DockerDriver) -> None:
    with socket.socket() as closed:  # bound and not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        image = f"127.0.0.1:{closed.getsockname()[1]}/team/iris:1"
        with pytest.raises(ImageNotFound, match="connection refused") as caught:
            await driver.pin(image)
    assert f"`{image}`" in caught.value.message


async def test_a_pull_brings_the_login_of_this_user(docker_engine: str, tmp_path: Path) -> None:
    seen: list[str | None] = []

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="test"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        registry = f"127.0.0.1:{server.server_port}"
        login = base64.b64encode(b"ann:secret").decode()
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"auths": {registry: {"auth": login}}}))
        async with DockerDriver(docker_engine, installation="x", log_dir=tmp_path, docker_config=config) as driver:
            with pytest.raises(ImageNotFound, match="could not be pulled") as caught:
                await driver.pin(f"{registry}/team/iris:1")
        server.shutdown()
    assert f"Basic {login}" in seen
    assert "secret" not in caught.value.message


async def test_a_creation_whose_reply_was_lost_is_completed(
    driver: DockerDriver, echo: ReplicaSpec, echo_engine: str
) -> None:
    name = container_name(echo.name, driver._settings.installation)
    assert name
    with engine_api.client(echo_engine) as http:
        body = create_body(echo, driver._settings)
        identity = http.post("/containers/create", params={"name": name}, json=body).json()["Id"]
    assert (await until_state(driver, echo.name, ReplicaState.STARTING)).address is None
    await driver.ensure(echo)
    await until_serving(driver, echo.name)
    assert engine_api.inspect_container(echo_engine, name)["Id"] == identity


async def test_a_container_that_was_only_created_is_removed(driver: DockerDriver, echo: ReplicaSpec) -> None:
    settings = ContainerSettings(driver._settings.installation, log_bytes=10_000, log_files=1)
    name = container_name(echo.name, settings.installation)
    with engine_api.client(driver._host) as http:
        http.post("/containers/create", params={"name": name}, json=create_body(echo, settings)).raise_for_status()
    await driver.stop(echo.name, grace_s=1)
    assert await driver.list() == []


async def test_a_start_that_the_engine_refuses_is_an_error_each_time(driver: DockerDriver, echo: ReplicaSpec) -> None:
    driver._settings = replace(driver._settings, init=False)  # then it is the engine that starts the command
    spec = replace(echo, command=("no-such-command",))
    for _ in range(2):
        with pytest.raises(ReplicaCannotStart, match="no-such-command") as caught:
            await driver.ensure(spec)
        assert caught.value.hint
    await driver.ensure(replace(echo, attempt=2))
    await until_serving(driver, echo.name)


async def test_two_installations_on_one_engine_do_not_see_each_other(
    driver: DockerDriver, make_driver: MakeDriver, echo: ReplicaSpec
) -> None:
    other = make_driver(installation=secrets.token_hex(4))
    await driver.ensure(echo)
    await until_serving(driver, echo.name)
    assert await other.list() == []
    await other.ensure(replace(echo, env=(EnvVar("OTHER", "1"),)))
    await until_serving(other, echo.name)
    await other.stop(echo.name, grace_s=0)
    assert (await find(driver, echo.name)) is not None
    assert await other.list() == []


async def test_logs_are_bounded_in_the_engine_and_in_the_archive(
    make_driver: MakeDriver, echo: ReplicaSpec, tmp_path: Path
) -> None:
    driver = make_driver(log_bytes=50_000, log_files=2)
    _, output = await run_python(driver, echo, "for n in range(40000): print(f'line {n}')")
    assert output.endswith("line 39999")
    assert len(output) < 4 * 50_000
    await driver.stop(echo.name, grace_s=0)
    assert (await logged(driver, echo.name, tail=1))[0].text == "line 39999"
    assert sum(file.stat().st_size for file in (tmp_path / "logs").rglob("*.log*")) <= 2 * 50_000


async def test_an_archive_made_twice_has_every_line_once(
    driver: DockerDriver, make_driver: MakeDriver, echo: ReplicaSpec
) -> None:
    class Interrupted(DockerDriver):
        async def _delete(self, container: str) -> None:
            raise EngineUnreachable("the connection broke before the removal")

    await driver.ensure(replace(echo, env=(EnvVar("CRASH", "3"),)))
    await until_state(driver, echo.name, ReplicaState.EXITED)
    before = texts(await logged(driver, echo.name))
    interrupted = Interrupted(driver._host, installation=driver._settings.installation, log_dir=driver._log_dir)
    for _ in range(2):
        with pytest.raises(EngineUnreachable):
            await interrupted.stop(echo.name, grace_s=0)
    await interrupted.close()
    assert texts(await logged(driver, echo.name)) == before
    await driver.stop(echo.name, grace_s=0)
    assert texts(await logged(driver, echo.name)) == before
    assert [file.name for file in (driver._log_dir / echo.name).iterdir()] == ["0001.log"]


async def test_a_second_run_of_the_same_attempt_keeps_the_log_of_the_first(
    driver: DockerDriver, echo: ReplicaSpec
) -> None:
    for _ in range(2):
        await driver.ensure(echo)
        await until_serving(driver, echo.name)
        await driver.stop(echo.name, grace_s=0)
    assert len(texts(await logged(driver, echo.name))) == 2


async def test_followed_logs_go_on_with_the_next_attempt(driver: DockerDriver, echo: ReplicaSpec) -> None:
    await driver.ensure(echo)
    await until_serving(driver, echo.name)
    attempts: list[int] = []

    async def follow() -> None:
        async for line in driver.logs(echo.name, tail=10, follow=True):
            if line.stream == "stdout":
                attempts.append(line.attempt)

    async def seen() -> list[int]:
        return attempts

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        await until(seen, lambda attempts: attempts == [1])
        await driver.ensure(replace(echo, attempt=2))
        await until(seen, lambda attempts: attempts == [1, 2])
        group.cancel_scope.cancel()


async def test_an_engine_that_goes_away_is_unreachable_and_then_works_again(
    make_driver: MakeDriver, echo: ReplicaSpec, echo_engine: str
) -> None:
    async with anyio.TemporaryDirectory(prefix="mp-") as folder:
        path = Path(folder) / "engine.sock"
        driver = make_driver(f"unix://{path}")
        assert (await driver.health()).state is DriverState.UNDETECTED
        listening = anyio.Event()
        ended = anyio.Event()

        async def listen() -> None:
            try:
                async for _ in driver.events():
                    listening.set()
            except EngineUnreachable:
                ended.set()

        async with anyio.create_task_group() as group:
            async with unix_proxy(path, echo_engine):
                assert (await driver.health()).state is DriverState.HEALTHY
                group.start_soon(listen)
                await anyio.sleep(0.2)
                await driver.ensure(echo)
                before = await until_serving(driver, echo.name)
                await listening.wait()
            with anyio.fail_after(30):
                await ended.wait()

        health = await driver.health()
        assert (health.state, bool(health.remedy)) == (DriverState.UNHEALTHY, True)
        for call in (
            lambda: driver.list(),
            lambda: driver.ensure(echo),
            lambda: driver.stop(echo.name, grace_s=0),
            lambda: driver.pin(ECHO_IMAGE),
            lambda: logged(driver, echo.name),
        ):
            with pytest.raises(EngineUnreachable) as caught:
                await call()
            assert caught.value.hint

        async with unix_proxy(path, echo_engine):
            assert (await driver.health()).state is DriverState.HEALTHY
            assert await driver.list() == [before]
            await driver.stop(echo.name, grace_s=0)


async def test_an_engine_that_accepts_and_does_not_answer_is_unhealthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelport.drivers.docker._HEALTH_S", 0.3)
    async with anyio.TemporaryDirectory(prefix="mp-") as folder:
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(f"{folder}/engine.sock")
            silent.listen()
            async with DockerDriver(f"unix://{folder}/engine.sock", installation="x", log_dir=tmp_path) as driver:
                health = await driver.health()
    assert health.state is DriverState.UNHEALTHY
    assert "in time" in health.message


async def test_a_socket_of_something_else_is_unhealthy(tmp_path: Path) -> None:
    async def answer(client: anyio.abc.SocketStream) -> None:
        async with client:
            await client.receive()
            await client.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi")

    async with anyio.TemporaryDirectory(prefix="mp-") as folder:
        listener = await anyio.create_unix_listener(f"{folder}/engine.sock")
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, answer)
            async with DockerDriver(f"unix://{folder}/engine.sock", installation="x", log_dir=tmp_path) as driver:
                health = await driver.health()
            group.cancel_scope.cancel()
    assert health.state is DriverState.UNHEALTHY
    assert "no container engine" in health.message


async def test_podman_without_an_init_still_runs_replicas(tmp_path: Path) -> None:
    async with podman_without_init() as (engine, program):
        root = tmp_path / "root.tar"
        with tarfile.open(root, "w") as tar:
            tar.add(program, "/program")
        try:
            engine_api.import_image(engine, root, "localhost/tiny:1")
        except RuntimeError as error:
            missing(f"the engine cannot take an image: {error}")
        async with DockerDriver(engine, installation="x", log_dir=tmp_path / "logs") as driver:
            spec = ReplicaSpec("mp-m-v-0-0", OWNER, await driver.pin("localhost/tiny:1"), command=("/program", "-h"))
            await driver.ensure(spec)
            replica = await until_state(driver, spec.name, ReplicaState.EXITED)
            assert (replica.exit and replica.exit.code) == 0
            health = await driver.health()
            assert (health.state, health.attributes["init"]) == (DriverState.HEALTHY, "no")
            assert health.remedy
            await driver.stop(spec.name, grace_s=0)


@asynccontextmanager
async def podman_without_init() -> AsyncIterator[tuple[str, Path]]:
    if (program := private_engines.static_program()) is None:
        missing("no static program to make an image of; run scripts/install-test-tools")
    try:
        with private_engines.podman_service(init=False) as engine:
            yield engine, program
    except private_engines.EngineMissing as error:
        missing(str(error))
