"""What a model is worth: loss, perplexity and answers on held-out rows."""
