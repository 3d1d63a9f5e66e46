"""Several processes that share one job: ``agent`` starts them, ``rank`` is one of them."""
