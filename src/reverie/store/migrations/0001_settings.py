"""Users, roles, apps, services, scripts, lookups, sessions; the first settings version."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

from reverie.clock import text_of

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _fixed(now: str) -> list[dict[str, object]]:
    """The services that are always there; in the table too, so that a role can name them."""
    fixed = {"is_active": True, "mutable": False, "deletable": False, "created_date": now, "last_modified_date": now}
    return [
        {"name": "system", "label": "System", "description": "The platform's own records.", "type": "system", **fixed},
        {"name": "user", "label": "User", "description": "Sessions and profiles.", "type": "user", **fixed},
    ]


def _stamps() -> list[sa.Column[object]]:
    return [
        sa.Column("created_date", sa.String(length=32), nullable=False),
        sa.Column("last_modified_date", sa.String(length=32), nullable=False),
        sa.Column("created_by_id", sa.Integer(), nullable=True),
        sa.Column("last_modified_by_id", sa.Integer(), nullable=True),
    ]


def upgrade() -> None:
    op.create_table(
        "event_script",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("lower_name", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("config", sa.Text(), nullable=True),
        sa.Column("storage_service_id", sa.Integer(), nullable=True),
        sa.Column("storage_path", sa.String(length=255), nullable=True),
        sa.Column("scm_repository", sa.String(length=255), nullable=True),
        sa.Column("scm_reference", sa.String(length=255), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("allow_event_modification", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        *_stamps(),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_event_script")),
        sa.UniqueConstraint("lower_name", name=op.f("uq_event_script_lower_name")),
    )
    op.create_table(
        "fact",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_fact")),
    )
    op.create_table(
        "role",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.false(), nullable=False),
        *_stamps(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_role")),
        sa.UniqueConstraint("name", name=op.f("uq_role_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "script_value",
        sa.Column("script", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("script", "name", name=op.f("pk_script_value")),
    )
    op.create_table(
        "service",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("label", sa.String(length=80), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("config", sa.Text(), nullable=True),
        sa.Column("mutable", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("deletable", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        *_stamps(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service")),
        sa.UniqueConstraint("name", name=op.f("uq_service_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "settings_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settings_version")),
    )
    op.create_table(
        "user",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("username", sa.String(length=128), nullable=True),
        sa.Column("first_name", sa.String(length=64), nullable=True),
        sa.Column("last_name", sa.String(length=64), nullable=True),
        sa.Column("email", sa.String(length=255), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("is_sys_admin", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("phone", sa.String(length=32), nullable=True),
        sa.Column("security_question", sa.String(length=128), nullable=True),
        sa.Column("security_answer", sa.Text(), nullable=True),
        sa.Column("default_app_id", sa.Integer(), nullable=True),
        sa.Column("oauth_provider", sa.String(length=64), nullable=True),
        sa.Column("adldap", sa.String(length=64), nullable=True),
        sa.Column("ldap_username", sa.String(length=128), nullable=True),
        sa.Column("confirm_code", sa.String(length=64), nullable=True),
        sa.Column("last_login_date", sa.String(length=32), nullable=True),
        *_stamps(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user")),
        sa.UniqueConstraint("email", name=op.f("uq_user_email")),
        sa.UniqueConstraint("username", name=op.f("uq_user_username")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "app",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("api_key", sa.String(length=255), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("type", sa.Integer(), server_default="0", nullable=False),
        sa.Column("path", sa.String(length=255), nullable=True),
        sa.Column("url", sa.String(length=255), nullable=True),
        sa.Column("storage_service_id", sa.Integer(), nullable=True),
        sa.Column("storage_container", sa.String(length=255), nullable=True),
        sa.Column("requires_fullscreen", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("allow_fullscreen_toggle", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("toggle_location", sa.String(length=64), server_default="top", nullable=False),
        sa.Column("role_id", sa.Integer(), nullable=True),
        *_stamps(),
        sa.ForeignKeyConstraint(["role_id"], ["role.id"], name=op.f("fk_app_role_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app")),
        sa.UniqueConstraint("api_key", name=op.f("uq_app_api_key")),
        sa.UniqueConstraint("name", name=op.f("uq_app_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "role_service_access",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("role_id", sa.Integer(), nullable=False),
        sa.Column("service_id", sa.Integer(), nullable=True),
        sa.Column("component", sa.String(length=255), nullable=True),
        sa.Column("verb_mask", sa.Integer(), server_default="0", nullable=False),
        sa.Column("requestor_mask", sa.Integer(), server_default="0", nullable=False),
        sa.Column("filters", sa.Text(), nullable=True),
        sa.Column("filter_op", sa.String(length=32), server_default="AND", nullable=False),
        *_stamps(),
        sa.ForeignKeyConstraint(
            ["role_id"], ["role.id"], name=op.f("fk_role_service_access_role_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["service_id"], ["service.id"], name=op.f("fk_role_service_access_service_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_role_service_access")),
    )
    op.create_index(op.f("ix_role_service_access_role_id"), "role_service_access", ["role_id"], unique=False)
    op.create_index(op.f("ix_role_service_access_service_id"), "role_service_access", ["service_id"], unique=False)
    op.create_table(
        "service_doc",
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("format", sa.Integer(), server_default="0", nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        *_stamps(),
        sa.ForeignKeyConstraint(
            ["service_id"], ["service.id"], name=op.f("fk_service_doc_service_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("service_id", name=op.f("pk_service_doc")),
    )
    op.create_table(
        "session",
        sa.Column("jti", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("is_revoked", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_session_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("jti", name=op.f("pk_session")),
    )
    op.create_index(op.f("ix_session_user_id"), "session", ["user_id"], unique=False)
    op.create_table(
        "lookup",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=True),
        sa.Column("role_id", sa.Integer(), nullable=True),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("private", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        *_stamps(),
        sa.ForeignKeyConstraint(["app_id"], ["app.id"], name=op.f("fk_lookup_app_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["role_id"], ["role.id"], name=op.f("fk_lookup_role_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_lookup_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lookup")),
    )
    op.create_index(op.f("ix_lookup_app_id"), "lookup", ["app_id"], unique=False)
    op.create_index(op.f("ix_lookup_role_id"), "lookup", ["role_id"], unique=False)
    op.create_index(op.f("ix_lookup_user_id"), "lookup", ["user_id"], unique=False)
    op.create_table(
        "user_to_app_to_role",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("role_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["app.id"], name=op.f("fk_user_to_app_to_role_app_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["role_id"], ["role.id"], name=op.f("fk_user_to_app_to_role_role_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_user_to_app_to_role_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_to_app_to_role")),
        sa.UniqueConstraint("user_id", "app_id", name=op.f("uq_user_to_app_to_role_user_id_app_id")),
    )
    op.create_index(op.f("ix_user_to_app_to_role_app_id"), "user_to_app_to_role", ["app_id"], unique=False)
    op.create_index(op.f("ix_user_to_app_to_role_role_id"), "user_to_app_to_role", ["role_id"], unique=False)
    op.create_index(op.f("ix_user_to_app_to_role_user_id"), "user_to_app_to_role", ["user_id"], unique=False)
    op.execute("INSERT INTO settings_version (id, version) VALUES (1, 1)")
    fixed = _fixed(text_of(time.time()))
    # Typed, so that Alembic can write them down as SQL.
    columns = (
        sa.column(name, sa.Boolean() if isinstance(value, bool) else sa.String()) for name, value in fixed[0].items()
    )
    op.bulk_insert(sa.table("service", *columns), fixed)
