"""The registry: models with their files, cards and lineage."""
