"""What scripts were, what they met, and what they are expected to do; what is there now is the first version kept."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
additive = True

_EVENTS = """
INSERT INTO script_version
    (script, name, number, type, content, config, is_active, allow_event_modification, storage_service_id,
     storage_path, scm_repository, scm_reference, created_date, created_by_id)
SELECT lower_name, name, version, type, content, config, is_active, allow_event_modification, storage_service_id,
       storage_path, scm_repository, scm_reference, last_modified_date,
       COALESCE(last_modified_by_id, created_by_id)
FROM event_script
"""
_SERVICES = """
INSERT INTO script_version (script, name, number, type, config, is_active, created_date, created_by_id)
SELECT 'service:' || id, 'service.' || name, version, type, config, is_active, last_modified_date,
       COALESCE(last_modified_by_id, created_by_id)
FROM service
WHERE type IN ('v8js', 'nodejs', 'php', 'python', 'python3', 'typescript')
"""


def upgrade() -> None:
    op.create_table(
        "script_version",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        *_texts("script", "name"),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("content", sa.Text()),
        sa.Column("config", sa.Text()),
        sa.Column("is_active", sa.Boolean()),
        sa.Column("allow_event_modification", sa.Boolean()),
        sa.Column("storage_service_id", sa.Integer()),
        sa.Column("storage_path", sa.String(length=255)),
        sa.Column("scm_repository", sa.String(length=255)),
        sa.Column("scm_reference", sa.String(length=255)),
        sa.Column("created_date", sa.String(length=32), nullable=False),
        sa.Column("created_by_id", sa.Integer()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_script_version")),
        sa.UniqueConstraint("script", "number", name=op.f("uq_script_version_script_number")),
    )
    op.execute(_EVENTS)
    op.execute(_SERVICES)
    op.create_table(
        "script_count",
        *_texts("script"),
        sa.Column("number", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("runs", "failures", "refusals")),
        sa.Column("last_failed_at", sa.Float()),
        sa.Column("last_error", sa.Text()),
        sa.PrimaryKeyConstraint("script", "number", name=op.f("pk_script_count")),
    )
    op.create_table(
        "script_watch",
        *_texts("script", "name"),
        sa.Column("keep", sa.Integer(), nullable=False),
        sa.Column("hours", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("created_date", sa.String(length=32), nullable=False),
        sa.Column("created_by_id", sa.Integer()),
        sa.PrimaryKeyConstraint("script", name=op.f("pk_script_watch")),
    )
    _captures()
    op.create_table(
        "script_fixture",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        *_texts("script"),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("created_date", sa.String(length=32), nullable=False),
        sa.Column("last_modified_date", sa.String(length=32), nullable=False),
        sa.Column("created_by_id", sa.Integer()),
        sa.Column("last_modified_by_id", sa.Integer()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_script_fixture")),
        sa.UniqueConstraint("script", "name", name=op.f("uq_script_fixture_script_name")),
    )
    op.create_table(
        "job_version",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_version")),
    )
    op.execute("UPDATE settings_version SET version = version + 1")


def _captures() -> None:
    op.create_table(
        "script_capture",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        *_texts("script"),
        sa.Column("captured_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column("number", sa.Integer()),
        sa.Column("verb", sa.String(length=10), nullable=False),
        sa.Column("uri", sa.String(length=255), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("user_id", sa.Integer()),
        sa.Column("app_id", sa.Integer()),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=36)),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_script_capture")),
    )
    op.create_index("ix_script_capture_script", "script_capture", ["script", "id"])
    op.create_index("ix_script_capture_job_id", "script_capture", ["job_id"])
    op.create_index("ix_script_capture_expires_at", "script_capture", ["expires_at"])


def _texts(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.String(length=255), nullable=False) for name in names]
