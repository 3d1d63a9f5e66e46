"""Files that people upload, made into rows that the rest of the platform can trust.

- :mod:`~aiplatform.data.formats` reads JSONL, JSON, CSV, TSV, Parquet and text in bounded memory
- :mod:`~aiplatform.data.shapes` recognises what a row is (chat, Alpaca, text, …) and turns it into
  messages
- :mod:`~aiplatform.data.canonical` writes and reads the one canonical Parquet of a dataset version
- :mod:`~aiplatform.data.ingest` is the program that does all three to an untrusted file
- :mod:`~aiplatform.data.quality` answers "may I train on this?"
- :mod:`~aiplatform.data.blobs` keeps content by its SHA-256

No database, no server, no torch: this package runs in subprocesses, runtimes and notebooks alike.
"""
