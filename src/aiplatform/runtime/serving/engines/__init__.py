"""What computes the tokens: transformers in this process, or vLLM beside it."""
