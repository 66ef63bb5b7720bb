"""What a part of the benchmark found: tables for people, records for machines, targets with what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """Rows of a title's subject; numbers are shown with three significant digits."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | int, ...], ...]


@dataclass(frozen=True)
class Finding:
    """One measured value beside its target; `limit` is the most, or the least where `at_least`."""

    what: str
    value: float
    unit: str
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Return whether the value keeps the limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def target(self) -> str:
        """Return the limit as it is shown."""
        return f"{'>=' if self.at_least else '<='} {self.limit:g} {self.unit}".strip()


@dataclass(frozen=True)
class Part:
    """All that one part of the benchmark found."""

    name: str
    tables: tuple[Table, ...]
    findings: tuple[Finding, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return the part as plain values."""
        return {
            "name": self.name,
            "tables": [
                {"title": table.title, "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows]}
                for table in self.tables
            ],
            "findings": [asdict(finding) | {"met": finding.met} for finding in self.findings],
        }


def text(part: Part) -> str:
    """Return the part's tables, then its targets, as text."""
    tables = list(part.tables)
    if part.findings:
        rows = tuple(
            (f.what, f"{shown(f.value)} {f.unit}".strip(), f.target, "met" if f.met else "MISSED")
            for f in part.findings
        )
        tables.append(Table(f"{part.name}: targets", ("what", "measured", "target", ""), rows))
    return "\n".join(_drawn(table) for table in tables)


def shown(value: str | float | int) -> str:
    """Return a number with three significant digits, a whole number from 100 on; text as it is."""
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def summary(name: str, values_s: Sequence[float]) -> tuple[str, int, float, float, float]:
    """Return a row of times: name, how many, and median, smallest and largest in milliseconds."""
    milliseconds = [value * 1000 for value in values_s]
    return name, len(milliseconds), median(milliseconds), min(milliseconds), max(milliseconds)


SUMMARY_COLUMNS = ("what", "times", "median ms", "min ms", "max ms")


def _drawn(table: Table) -> str:
    cells = [table.columns, *(tuple(shown(value) for value in row) for row in table.rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(table.columns))]
    numeric = [all(not isinstance(row[column], str) for row in table.rows) for column in range(len(table.columns))]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join([table.title, *(f"  {line}" for line in [lines[0], "-" * len(lines[0]), *lines[1:]]), ""])
