"""The OpenAI-compatible API: chat requests to deployments."""
