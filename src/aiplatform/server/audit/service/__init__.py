"""Use cases for the audit trail: sealing, verifying, exporting and archiving it."""
