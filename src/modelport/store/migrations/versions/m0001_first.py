"""The first schema: models, versions, operations."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _resource_table(name: str, *columns: sa.Column[object]) -> None:
    op.create_table(
        name,
        sa.Column("name", sa.String(512), primary_key=True),
        sa.Column("parent", sa.String(512), nullable=False, index=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        *columns,
    )


def upgrade() -> None:
    """Make the tables."""
    _resource_table("models")
    _resource_table("versions")
    _resource_table(
        "operations",
        sa.Column("target", sa.String(512), nullable=False, index=True),
        sa.Column("done", sa.Boolean, nullable=False, index=True),
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in ("operations", "versions", "models"):
        op.drop_table(name)
