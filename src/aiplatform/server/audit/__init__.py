"""The audit trail: reading, exporting, sealing, archiving and verifying it."""
