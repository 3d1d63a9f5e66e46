"""Rows from elsewhere: URLs, object stores and hubs of datasets, fetched and read."""
