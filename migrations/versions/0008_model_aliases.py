"""Model aliases: names such as ``production`` that point to one version, and their moves.

Revision ID: 0008
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

MODEL_ALIASES = """
CREATE TABLE model_aliases (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id integer REFERENCES projects(id) ON DELETE CASCADE,
    model_name varchar(255) NOT NULL,
    name varchar(50) NOT NULL,
    model_id integer NOT NULL REFERENCES models(id) ON DELETE CASCADE,
    reason text,
    moved_by integer REFERENCES users(id) ON DELETE SET NULL,
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE NULLS NOT DISTINCT (project_id, model_name, name)
);

CREATE INDEX ix_model_aliases_model ON model_aliases (model_id);

-- The moves outlive the alias and the versions, so that a deletion can be undone and read about.
CREATE TABLE model_alias_moves (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id integer REFERENCES projects(id) ON DELETE CASCADE,
    model_name varchar(255) NOT NULL,
    alias varchar(50) NOT NULL,
    from_model_id integer REFERENCES models(id) ON DELETE SET NULL,
    from_version varchar(50),
    to_model_id integer REFERENCES models(id) ON DELETE SET NULL,
    to_version varchar(50),
    reason text,
    undoes bigint UNIQUE REFERENCES model_alias_moves(id) ON DELETE CASCADE,
    moved_by integer REFERENCES users(id) ON DELETE SET NULL,
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX ix_model_alias_moves_alias
    ON model_alias_moves (project_id, model_name, alias, id);
CREATE INDEX ix_model_alias_moves_from ON model_alias_moves (from_model_id);
CREATE INDEX ix_model_alias_moves_to ON model_alias_moves (to_model_id);
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(MODEL_ALIASES)


def downgrade() -> None:
    """Refuse to go back, which would delete the aliases.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError("the tables of aliases are not dropped; restore a backup instead")
