"""Questions asked of a base model, and their runs."""
