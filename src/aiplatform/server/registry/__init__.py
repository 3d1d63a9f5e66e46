"""Models: files, cards, lineage."""
