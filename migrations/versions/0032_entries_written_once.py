"""What the audit's trigger adds to a row, it adds only where it is missing.

Revision ID: 0032
"""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE OR REPLACE FUNCTION audit_logs_await_seal() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.audit_unsealed SELECT id FROM added;
    -- Rows come with their entries; one that does not still gets its own, as whoever wrote it past
    -- the platform did not know of them.
    INSERT INTO public.audit_entries (audit_id, created_at)
        SELECT id, created_at FROM added
        WHERE NOT EXISTS (SELECT FROM public.audit_entries e WHERE e.audit_id = added.id)
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
"""


def upgrade() -> None:
    """Replace the function."""
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    """Refused, as in 0013.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("the audit trail's seals are not dropped; restore a backup instead")
