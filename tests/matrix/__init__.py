"""The access matrix: tests that call every route as every role and check the responses."""
