"""The access matrix: tests that ask every route as every role, and check who gets which answer."""
