"""Estimates of trainings: their rows, tokens, steps, memory and time, and advice on settings."""
