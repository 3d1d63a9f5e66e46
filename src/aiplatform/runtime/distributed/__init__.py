"""Jobs that several processes run together: ``agent`` starts them, and ``rank`` is one of them."""
