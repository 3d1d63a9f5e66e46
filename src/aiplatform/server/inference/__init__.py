"""Deployments: models that answer."""
