"""The tenant boundary: projects, members, and what they may do."""
