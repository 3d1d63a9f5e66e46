"""Model servers: an OpenAI-compatible HTTP server for a model."""
