"""The recorded cases: evidence of real containers, each with what the doctor is to say of it."""

from dataclasses import dataclass
from pathlib import Path

from modelport.doctor.case import from_json
from modelport.doctor.evidence import Evidence
from tests.containers.container import Container
from tests.containers.corpus import BROKEN, HEALTHY

FOLDER = Path(__file__).parents[1] / "cases"
CONTAINERS = {container.name: container for container in (*BROKEN, *HEALTHY)}


@dataclass(frozen=True)
class Recorded:
    """Evidence that was gathered from a container; `name` also tells the engine where it is not Podman."""

    name: str
    container: Container
    evidence: Evidence

    @property
    def code(self) -> str:
        return self.container.code


def recorded() -> list[Recorded]:
    """Read all recorded cases."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        container = CONTAINERS[path.name.partition(".")[0]]
        found.append(Recorded(path.stem, container, from_json(path.read_text(), path.name).evidence))
    return found
