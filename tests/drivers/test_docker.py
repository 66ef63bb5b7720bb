"""The conformance suite on real engines."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelport.drivers.docker import DockerDriver
from tests.conformance.driver import DriverConformance, Subject
from tests.engines.fixtures import ECHO_IMAGE

pytestmark = [pytest.mark.engine, pytest.mark.slow]


class TestDockerDriver(DriverConformance):
    @pytest.fixture
    async def subject(self, echo_engine: str, tmp_path: Path) -> AsyncIterator[Subject]:
        installation = secrets.token_hex(4)
        made: list[DockerDriver] = []

        def make() -> DockerDriver:
            made.append(DockerDriver(echo_engine, installation=installation, log_dir=tmp_path / "logs"))
            return made[-1]

        yield Subject(
            make,
            ECHO_IMAGE,
            missing_image="registry.invalid/nowhere/nothing:1",
            read_only_models=True,
            starts_missing_commands=True,
            sees_memory=True,
        )
        for driver in made:
            await driver.close()
