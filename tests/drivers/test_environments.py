"""The conformance suite of environments on the drivers that need no engine; see test_docker_environment for those."""

from pathlib import Path

import pytest

from modelport.drivers.fake import FakeDriver
from modelport.drivers.process import ProcessDriver
from tests.conformance.environments import EnvironmentConformance, Subject


class TestFakeDriver(EnvironmentConformance):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        return Subject(lambda: FakeDriver(tmp_path / "logs"), runs_programs=False)


@pytest.mark.slow
class TestProcessDriver(EnvironmentConformance):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        async def same(folder: Path) -> Path:
            return folder

        return Subject(
            lambda: ProcessDriver(
                tmp_path / "replicas",
                log_dir=tmp_path / "logs",
                environment_dir=tmp_path / "environments",
                snapshot=same,
            )
        )
