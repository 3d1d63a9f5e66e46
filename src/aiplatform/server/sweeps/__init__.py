"""Sweeps: searches for the hyper-parameters of an experiment."""
