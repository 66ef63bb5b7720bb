"""All cases: those that are broken, each with the code of its cause, and those that are fine."""

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
