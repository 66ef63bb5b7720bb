"""The settings of the prediction server and of the listener's process as rows, for their pages of the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelport.server.config import Setting

HEADS = ("option", "variable", "default", "meaning")


def setting_rows(table: Mapping[str, Setting]) -> list[Sequence[str]]:
    """Return flag, variables, default and meaning of every setting."""
    return [
        (f"`{one.flag}`", _variables(one), f"`{one.fallback}`" if _plain(one) else one.fallback, _meaning(one))
        for one in table.values()
    ]


def _plain(setting: Setting) -> bool:
    return bool(setting.fallback) and not setting.otherwise


def _variables(setting: Setting) -> str:
    return ", ".join(f"`{name}`" for name in (setting.variable, *setting.contract))


def _meaning(setting: Setting) -> str:
    if not setting.choices:
        return setting.help
    return f"{setting.help} One of {', '.join(f'`{one}`' for one in setting.choices)}."
