"""Experiments (a base model and a training spec), their runs, and evaluations."""
