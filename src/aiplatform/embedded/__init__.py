"""One machine, one command: a private PostgreSQL, a private Valkey, and what supervises them.

``aiplatform up`` runs the same API and worker as production, on real servers started from wheels in
one directory, the home. Nothing here imports the server: its processes are command lines.
"""
