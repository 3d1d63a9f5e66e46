"""The access matrix: who gets an answer to what, asked of the running application."""
