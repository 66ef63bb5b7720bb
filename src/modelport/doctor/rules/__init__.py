"""The rules, the most certain first: what a driver reported, how it ended, what it listens on, what it answers."""

from modelport.doctor.rule import Rule
from modelport.doctor.rules import (
    arguments,
    execution,
    fallback,
    gpu,
    health,
    imports,
    listen,
    model_files,
    operation,
    ports,
    predict,
    predict_route,
    reported,
    resources,
    response,
    surroundings,
)

RULES: tuple[Rule, ...] = (
    *reported.RULES,
    *execution.RULES,
    *resources.RULES,
    *ports.RULES,
    *arguments.RULES,
    *gpu.RULES,
    *imports.RULES,
    *surroundings.RULES,
    *model_files.RULES,
    *listen.RULES,
    *health.RULES,
    *predict_route.RULES,
    *predict.RULES,
    *response.RULES,
    *operation.RULES,
    *fallback.RULES,
)
