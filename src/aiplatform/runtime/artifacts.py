"""The layout of model directories, and a function that flushes written files to disk.

A model directory contains ``weights/`` (a complete Hugging Face directory) and ``README.md`` (the
model card). The directory of a tuned model also contains ``adapter/`` (LoRA weights in PEFT's
format).
"""

import os
from pathlib import Path

WEIGHTS = "weights"
ADAPTER = "adapter"
CARD = "README.md"
LICENSE_NAMES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "NOTICE", "USE_POLICY.md")


def make_durable(directory: Path) -> None:
    """Make all files below ``directory`` world-readable and flush them to disk.

    safetensors writes files with mode 0600, which a server running as another user can't read.
    After this function returns, the files survive a power failure.
    """
    for path in sorted(directory.rglob("*"), reverse=True):
        path.chmod(0o755 if path.is_dir() else 0o644)
        fsync(path)
    directory.chmod(0o755)
    fsync(directory)


def fsync(path: Path) -> None:
    """Flush the data of a file, or the entries of a directory, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
