"""What a job's call was and what it answered, and the keys that make a call only once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("verb", sa.String(length=10), server_default="", nullable=False))
    op.add_column("job", sa.Column("service", sa.String(length=64), server_default="", nullable=False))
    op.add_column("job", sa.Column("role_id", sa.Integer(), nullable=True))
    op.add_column("job", sa.Column("trace", sa.String(length=55), server_default="", nullable=False))
    op.create_table(
        "job_result",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("result", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_result")),
    )
    op.create_table(
        "job_key",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_job_key")),
    )
    op.create_index("ix_job_key_expires_at", "job_key", ["expires_at"], unique=False)
