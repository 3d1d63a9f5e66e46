"""Rules for hashes, trees, chains and signatures of the audit trail, without database or files."""
