"""Searches for the hyper-parameters of an experiment."""
