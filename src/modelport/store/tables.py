"""The tables: one row a resource, its fields as JSON beside the columns that queries need."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Integer, MetaData, String, Table, Text

metadata = MetaData()


def _resource_table(name: str, *columns: Column[object]) -> Table:
    return Table(
        name,
        metadata,
        Column("name", String(512), primary_key=True),
        Column("parent", String(512), nullable=False, index=True),
        Column("revision", Integer, nullable=False),
        Column("body", Text, nullable=False),
        *columns,
    )


models = _resource_table("models")
versions = _resource_table("versions")
operations = _resource_table(
    "operations",
    Column("target", String(512), nullable=False, index=True),
    Column("done", Boolean, nullable=False, index=True),
)
