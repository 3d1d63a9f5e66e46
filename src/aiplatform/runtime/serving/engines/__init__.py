"""Engines that generate tokens: transformers in this process, or vLLM in a child process."""
