"""Rules of the sealed audit trail: hashes, trees, chains, signatures. No database, no files."""
