"""All cases: those that are broken, each with the code of its cause, and those that are fine."""

import os
from dataclasses import replace

from tests.containers import (
    answering,
    health,
    healthy,
    listening,
    models,
    outside,
    predicting,
    programs,
    resources,
    starting,
    stopping,
)
from tests.containers.container import DOCKER, Container, Elsewhere, OwnPatch

BROKEN = (
    *outside.CASES,
    *starting.CASES,
    *programs.CASES,
    *models.CASES,
    *resources.CASES,
    *listening.CASES,
    *health.CASES,
    *predicting.CASES,
    *answering.CASES,
    *stopping.CASES,
)
HEALTHY = healthy.CASES

# How a program is started, ended, reached, fetched, where engines differ, and what users meet most.
ENGINE_MATTERS = {
    "COMMAND_NOT_FOUND",
    "ENTRYPOINT_LINE_ENDINGS",
    "ENTRYPOINT_NOT_EXECUTABLE",
    "EXITED_CLEANLY",
    "HEALTH_ROUTE_NOT_FOUND",
    "IMAGE_NOT_FOUND",
    "IMAGE_UNAUTHORIZED",
    "INSTANCES_NOT_UNWRAPPED",
    "LISTENS_ON_LOOPBACK",
    "LISTENS_ON_OTHER_PORT",
    "MODULE_MISSING",
    "NO_EGRESS",
    "OUT_OF_MEMORY",
    "PRIVILEGED_PORT",
    "SHARED_MEMORY_TOO_SMALL",
    "WRONG_ARCHITECTURE",
}


def broken(engine: str) -> tuple[Container, ...]:
    """Return the broken containers to try on an engine: one for each code, on Docker where the engine matters.

    Those that users meet most are tried with their remedy as well, and all whose finding brings its own patch.

    MODELPORT_WHOLE_CORPUS=1 chooses all of them on both engines, for recording and after a change of rules; they take
    half an hour.
    """
    if os.environ.get("MODELPORT_WHOLE_CORPUS") == "1":
        return tuple(case for case in BROKEN if engine in case.engines)
    on_docker = {case.code for case in BROKEN if DOCKER in case.engines and case.code in ENGINE_MATTERS}
    cases = [case for case in BROKEN if engine in case.engines and (case.code in on_docker) == (engine == DOCKER)]
    chosen = {case.code: case for case in reversed(cases)}
    usual = [case for case in cases if chosen[case.code] is case]
    return tuple(
        case if isinstance(case.remedy, OwnPatch) or case.code in ENGINE_MATTERS else replace(case, remedy=Elsewhere())
        for case in usual
    )
