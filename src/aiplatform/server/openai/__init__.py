"""The OpenAI API in front of deployments."""
