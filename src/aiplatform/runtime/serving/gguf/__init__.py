"""Conversion of model directories to GGUF, the format of llama.cpp, with a cache on the worker.

``architectures`` lists the models that can be converted, ``convert`` writes a file, and ``cache``
stores the files.
"""
