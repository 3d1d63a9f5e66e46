"""Turn uploaded files into validated rows, and store and check them.

- :mod:`~aiplatform.data.formats` reads JSONL, JSON, CSV, TSV, Parquet and text in bounded memory
- :mod:`~aiplatform.data.shapes` recognises the shape of rows (chat, Alpaca, text, …) and converts
  them to messages
- :mod:`~aiplatform.data.canonical` writes and reads the canonical Parquet file of a dataset version
- :mod:`~aiplatform.data.ingest` is the program that applies these three to an untrusted file
- :mod:`~aiplatform.data.quality` checks whether a version is fit for training
- :mod:`~aiplatform.data.blobs` stores content by its SHA-256

This package needs no database, no server and no torch, so that it runs in subprocesses, runtimes
and notebooks alike.
"""
