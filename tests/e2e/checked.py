"""The checks of a test session: run once for each engine, all that were selected, and looked at by many tests."""

import pytest

from tests.containers.container import Container
from tests.containers.harness import Checks, Outcome, run


class Checked:
    """What came of the selected containers; each engine is started when its first outcome is asked for."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request
        self.by_engine: dict[str, Checks] = {}

    def on(self, engine: str) -> Checks:
        """Return the checks on one engine, at first by running them."""
        if engine not in self.by_engine:
            url: str = self._request.getfixturevalue(f"{engine}_engine")
            self.by_engine[engine] = run(self._selected(engine), url)
        return self.by_engine[engine]

    def outcome(self, engine: str, case: Container) -> Outcome:
        return self.on(engine).outcomes[case.name]

    def _selected(self, engine: str) -> list[Container]:
        parameters = [item.callspec.params for item in self._request.session.items if hasattr(item, "callspec")]
        chosen = [
            one["case"] for one in parameters if isinstance(one.get("case"), Container) and one["engine"] == engine
        ]
        return list({case.name: case for case in chosen}.values())
