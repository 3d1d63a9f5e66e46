"""Evaluation of models: loss, perplexity and answers on held-out rows."""
