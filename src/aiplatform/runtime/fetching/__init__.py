"""Import of datasets from URLs, object stores and hubs."""
