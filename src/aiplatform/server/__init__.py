"""The server: HTTP API and Celery workers over PostgreSQL. It never imports torch."""
