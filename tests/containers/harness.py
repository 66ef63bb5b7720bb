"""Runs `check` on cases, several at a time, with a real engine: as they are, and again with their remedy applied."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import anyio
import anyio.to_thread

from modelport.check.run import check
from modelport.check.subject import CheckSettings, Subject
from modelport.doctor.case import Case as RecordedCase
from modelport.doctor.case import CaseStage, to_json
from modelport.doctor.patching import patched
from modelport.settings import Settings
from tests.containers.container import STACKS, Container, OwnPatch
from tests.engines import engine_api

AT_A_TIME = 6
RECORDED = Path(__file__).parents[1] / "cases"
_STACKS_FOLDER = Path(__file__).parent / "stacks"
_PROGRAMS = (b"\x7fELF",)


@dataclass
class Outcome:
    """What came of a case: the reports as JSON, of the container as it is and as it was put right."""

    case: Container
    report: dict[str, Any] = field(default_factory=dict)
    fixed: dict[str, Any] | None = None
    took_s: float = 0.0
    problem: str = ""

    @property
    def first(self) -> dict[str, Any]:
        """Return the first finding, or one that says that there is none."""
        return next(iter(self.report.get("findings", ())), {"code": "", "evidence": []})


@dataclass(frozen=True)
class Checks:
    """What came of all cases, by name, and the containers that were still there at the end."""

    outcomes: dict[str, Outcome]
    left_behind: tuple[str, ...]
    took_s: float


def run(cases: Sequence[Container], engine: str) -> Checks:
    """Check all cases, and remove the images that were built for them."""
    start = time.monotonic()
    if not engine_api.has_image(engine, STACKS):
        engine_api.build_image(engine, _STACKS_FOLDER, STACKS)
    registry = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    Thread(target=registry.serve_forever, daemon=True).start()
    try:
        with TemporaryDirectory(prefix="mp-cases-", ignore_cleanup_errors=True) as folder:
            checks = _Run(engine, Path(folder), f"127.0.0.1:{registry.server_address[1]}")
            try:
                anyio.run(checks.all, cases)
                return Checks(checks.outcomes, checks.left_behind(), time.monotonic() - start)
            finally:
                checks.clean()
    finally:
        registry.shutdown()
        registry.server_close()


class Refusing(BaseHTTPRequestHandler):
    """A server that lets nobody in: a registry, or a store of artifacts."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("Www-Authenticate", 'Basic realm="no"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        pass


class _Run:
    def __init__(self, engine: str, folder: Path, refusing: str) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._engine = engine
        self._folder = folder
        self._refusing = refusing
        self._images: dict[str, str] = {}

    async def all(self, cases: Iterable[Container]) -> None:
        limit = anyio.CapacityLimiter(AT_A_TIME)
        async with anyio.create_task_group() as tasks:
            for case in sorted(cases, key=_longest_first):
                tasks.start_soon(self._one, case, limit)

    def left_behind(self) -> tuple[str, ...]:
        """Return the containers that were made of the images of the cases and are still there."""
        return tuple(name for name in engine_api.container_names(self._engine, images=set(self._images.values())))

    def clean(self) -> None:
        """Remove all images that were built."""
        for image in self._images:
            engine_api.remove_image(self._engine, image)

    async def _one(self, case: Container, limit: anyio.CapacityLimiter) -> None:
        outcome = self.outcomes[case.name] = Outcome(case)
        async with limit:
            try:
                await self._examine(case, outcome)
            except Exception as problem:  # every case fails by itself
                outcome.problem = "".join(traceback.format_exception(problem))[-3000:]

    async def _examine(self, case: Container, outcome: Outcome) -> None:
        outcome.report, outcome.took_s = await self._report(case)
        if not case.code:
            return
        right = case.put_right()
        if isinstance(case.remedy, OwnPatch):
            operations = [(one["op"], one["path"], one["value"]) for one in outcome.first.get("patch", ())]
            if not operations:
                return
            right = replace(case, version=_patched(case, operations))
        if right != case:
            outcome.fixed, _ = await self._report(right, fixed=True)

    async def _report(self, case: Container, *, fixed: bool = False) -> tuple[dict[str, Any], float]:
        name = f"{case.name}-fixed" if fixed else case.name
        folder = self._folder / name
        await anyio.to_thread.run_sync(_write, case, folder)
        if not case.builds:
            start = time.monotonic()
            return await anyio.to_thread.run_sync(self._by_command, case, folder), time.monotonic() - start
        image = f"localhost/modelport-test-case:{name}"
        body = self._filled(case.body, folder / "model")
        if case.dockerfile:
            await anyio.to_thread.run_sync(self._build, case, folder / "build", image)
            body["container"] = {**body.get("container", {}), "image": image}
        start = time.monotonic()
        report = await check(
            Subject(case.name, body, list(case.instances) if case.instances is not None else None, dockerfile=True),
            settings=Settings(docker_host=case.engine_url or self._engine),
            limits=CheckSettings(**case.limits),
            driver_name="docker",
            egress=case.egress,
        )
        took_s = time.monotonic() - start
        if os.environ.get("MODELPORT_RECORD_CASES") and not fixed:
            stages = tuple(CaseStage(one.name, one.outcome, one.text, round(one.took_s, 2)) for one in report.stages)
            self._record(case, to_json(RecordedCase(case.name, report.evidence, stages)))
        return report.document(), took_s

    def _build(self, case: Container, folder: Path, image: str) -> None:
        # Podman loses its way in the cache of builds while images are removed.
        built = engine_api.build_image(self._engine, folder, image, platform=case.platform, cache=False)
        self._images[image] = built

    def _by_command(self, case: Container, folder: Path) -> dict[str, Any]:
        """Check a folder as a user does: the command builds the image."""
        (folder / "build" / "modelport.json").write_text(json.dumps(case.body))
        done = subprocess.run(
            [sys.executable, "-m", "modelport", "check", str(folder / "build"), "--output", "json"],
            env={**os.environ, "DOCKER_HOST": self._engine},
            capture_output=True,
            check=False,
            text=True,
            timeout=120,
        )
        if not done.stdout.startswith("{"):
            raise RuntimeError(f"no report; {done.stderr[-1000:]}")
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def _filled(self, value: Any, model: Path) -> Any:
        if isinstance(value, str):
            return value.replace("{model}", str(model)).replace("{refusing}", self._refusing)
        if isinstance(value, dict):
            return {key: self._filled(one, model) for key, one in value.items()}
        return [self._filled(one, model) for one in value] if isinstance(value, list) else value

    def _record(self, case: Container, text: str) -> None:
        """Write the evidence on one line, without what is this machine's alone."""
        engine = "" if "podman" in self._engine else ".docker"
        for own, anywhere in ((str(self._folder), "/models"), (self._engine, "unix:///var/run/engine.sock")):
            text = text.replace(own, anywhere)
        RECORDED.mkdir(exist_ok=True)
        compact = json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
        (RECORDED / f"{case.name}{engine}.json").write_text(compact + "\n")


def _write(case: Container, folder: Path) -> None:
    for part, files in (("build", case.files), ("model", case.model)):
        (folder / part).mkdir(parents=True)
        for name, content in files.items():
            path = folder / part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = content.encode() if isinstance(content, str) else content
            path.write_bytes(data)
            path.chmod(0o755 if data.startswith(_PROGRAMS) else 0o644)
    (folder / "build" / "Dockerfile").write_text(f"FROM {case.base}\n{case.dockerfile}")


def _patched(case: Container, operations: list[tuple[str, str, Any]]) -> dict[str, Any]:
    body = patched(case.body, operations)
    return {**dict.fromkeys(case.body), **body}  # what the patch removed stays removed


def _longest_first(case: Container) -> int:
    return 0 if not case.code or case.limits else 1
