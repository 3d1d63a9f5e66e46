"""Model directories on their way out: how they are laid out, and when they count as written.

A model directory holds ``weights/`` (a complete Hugging Face directory), for a tuned model also
``adapter/`` (LoRA, in PEFT's format), and ``README.md``, the model card.
"""

import os
from pathlib import Path

WEIGHTS = "weights"
ADAPTER = "adapter"
CARD = "README.md"
LICENSE_NAMES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "NOTICE", "USE_POLICY.md")


def seal(directory: Path) -> None:
    """Make everything below ``directory`` readable for all and durable.

    safetensors files are written with mode 0600, which a server running as another user can't read.
    What is announced after this survives a power failure.
    """
    for path in sorted(directory.rglob("*"), reverse=True):
        path.chmod(0o755 if path.is_dir() else 0o644)
        fsync(path)
    directory.chmod(0o755)
    fsync(directory)


def fsync(path: Path) -> None:
    """Put a file, or a directory's entries, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
