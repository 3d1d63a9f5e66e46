"""What a sealed audit trail is: hashes, trees, chains and signatures. No database, no files."""
