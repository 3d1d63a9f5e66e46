"""Embedded mode: a private PostgreSQL and a private Valkey on one machine, and their supervisor.

``aiplatform up`` runs the same API and worker as production. Their PostgreSQL and Valkey come from
wheels and keep all data in one directory, the home. This package never imports
``aiplatform.server``; it starts the API and the worker as commands.
"""
