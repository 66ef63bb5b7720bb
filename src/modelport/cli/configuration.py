"""Configuration: the platform's settings from flags and MODELPORT_* variables; a wrong one is a usage problem."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelport.cli.extras import platform_extra
from modelport.cli.usage import UsageProblem

if TYPE_CHECKING:
    from modelport.settings import Settings


def read_settings(what: str, **flags: Any) -> Settings:
    """Return the settings; flags that say something win over variables.

    Args:
        what: what needs them, for the error where the packages are missing.
        flags: fields of the settings.
    """
    with platform_extra(what):
        from pydantic import ValidationError

        from modelport.settings import Settings
    try:
        return Settings(**{name: value for name, value in flags.items() if value})
    except ValidationError as error:
        problems = [_problem(one["loc"], one["msg"]) for one in error.errors()]
        raise UsageProblem("; ".join(problems), hint="See `modelport serve --help`") from error


def _problem(location: tuple[int | str, ...], message: str) -> str:
    name = str(location[0]) if location else "settings"
    return f"--{name.replace('_', '-')} (MODELPORT_{name.upper()}): {message.removeprefix('Value error, ')}"
