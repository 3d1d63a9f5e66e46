"""Estimates of the rows, tokens, steps, memory and time of training runs, and advice."""
