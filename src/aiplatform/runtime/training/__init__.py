"""Training of models, with one module per method."""
