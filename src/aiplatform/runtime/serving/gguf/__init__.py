"""Conversion of model directories to GGUF, the format of llama.cpp, with a cache on the worker.

``architectures`` says which models can be converted, ``convert`` writes one file, and ``cache``
keeps the files.
"""
