"""Rules for the sealed audit trail: hashes, trees, chains, signatures. No database, no files."""
