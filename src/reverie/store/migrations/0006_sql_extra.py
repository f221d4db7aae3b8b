"""What is kept about a database's tables beside the database itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
additive = True


def upgrade() -> None:
    op.create_table(
        "sql_extra",
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("table_name", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("properties", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["service_id"], ["service.id"], name=op.f("fk_sql_extra_service_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("service_id", "table_name", "kind", "name", name=op.f("pk_sql_extra")),
    )
