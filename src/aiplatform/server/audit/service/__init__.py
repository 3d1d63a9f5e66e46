"""Use cases of the audit trail: seal it, verify it, hand it out, archive it."""
