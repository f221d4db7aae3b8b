"""What workers have counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0003"
branch_labels = None
depends_on = None
additive = True


def upgrade() -> None:
    op.create_table(
        "worker_metric",
        sa.Column("worker", sa.String(length=80), nullable=False),
        sa.Column("series", sa.String(length=64), nullable=False),
        sa.Column("labels", sa.String(length=400), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("worker", "series", "labels", name=op.f("pk_worker_metric")),
    )
