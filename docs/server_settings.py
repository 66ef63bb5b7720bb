"""The settings of the prediction server and of the listener's process as rows, for their pages of the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelport.server.config import Setting

HEADS = ("option", "variable", "default", "meaning")
PREDICTION_SERVER = (
    "What `modelport-server` runs with: options, then variables `MODELPORT_SERVER_…`, then keys below `server:` in"
    " the model folder's modelport.yaml (`batch_max_rows: 64`), then variables of the container contract; the first"
    " that says something wins. All that is wrong with them is reported at once, each with where it stands. How the"
    " server works: [the prediction server](../concepts/prediction-server.md)."
)


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
