"""Use cases of the audit trail: sealing, verifying, exporting and archiving it."""
