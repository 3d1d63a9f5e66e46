"""Selection of a model's files among all files of a source."""

from dataclasses import dataclass
from pathlib import Path

from aiplatform.runtime.artifacts import LICENSE_NAMES
from aiplatform.runtime.channel import JobError

MODEL_FILE_NAMES = frozenset(
    {
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        "config.json",
        "generation_config.json",
        "merges.txt",
        "model.safetensors.index.json",
        "README.md",
        "sentencepiece.bpe.model",
        "special_tokens_map.json",
        "spm.model",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "vocab.json",
        "vocab.txt",
    }
)
PICKLES = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})


@dataclass
class Fetched:
    """Fetched files with their origin and the licence named by the source."""

    directory: Path
    origin: dict[str, str]
    license: str | None = None
    files: list[Path] | None = None
    """The files to consider; None for all files below ``directory``."""


@dataclass
class ModelFiles:
    """A model among the fetched files: a Hugging Face directory, or one GGUF file."""

    kept: list[Path]
    gguf: Path | None
    licenses: list[Path]
    left_out: list[str]


def find_model(fetched: Fetched) -> ModelFiles:
    """Find the model among the files.

    Raises:
        JobError: There is no model, more than one, or one that can't be accepted.
    """
    everything = fetched.files
    if everything is None:
        everything = sorted(fetched.directory.rglob("*"))
    # A symbolic link could point to any file on the worker.
    files = [path for path in everything if path.is_file() and not path.is_symlink()]
    tensors = [path for path in files if path.suffix == ".safetensors"]
    ggufs = [path for path in files if path.suffix.lower() == ".gguf"]
    licenses = [path for path in files if path.name in LICENSE_NAMES]
    if not tensors and not ggufs:
        raise JobError(_explain_no_model(fetched, files))
    if not tensors:
        if len(ggufs) > 1:
            names = ", ".join(path.name for path in ggufs)
            raise JobError(f"There are several GGUF files ({names}); import one at a time.")
        return ModelFiles([], ggufs[0], licenses, [])

    # The model may be in a subfolder, but all its files must be next to config.json.
    homes = sorted({path.parent for path in tensors if (path.parent / "config.json").is_file()})
    if not homes:
        raise JobError("There are safetensors files but no config.json beside them.")
    if len(homes) > 1:
        names = ", ".join(str(home.relative_to(fetched.directory)) for home in homes)
        raise JobError(f"There are several models ({names}); import one at a time.")
    home = homes[0]
    if (home / "adapter_config.json").is_file():
        raise JobError("This is a LoRA adapter, not a whole model: merge it into its base first.")
    here = [path for path in files if path.parent == home]
    kept = [path for path in here if path.suffix == ".safetensors" or path.name in MODEL_FILE_NAMES]
    left_out = sorted(
        str(path.relative_to(fetched.directory))
        for path in files
        if path not in kept and path not in licenses
    )
    return ModelFiles(kept, None, licenses, left_out)


def _explain_no_model(fetched: Fetched, files: list[Path]) -> str:
    pickles = sorted(path.name for path in files if path.suffix.lower() in PICKLES)
    if pickles:
        return (
            f"The weights are a pickle ({', '.join(pickles[:3])}), and loading one runs whatever "
            "code is in it. Convert the model to safetensors, as save_pretrained does."
        )
    source = fetched.origin.get("package") or fetched.origin.get("repository") or "the upload"
    if not files:
        return f"There are no files in {source}."
    return f"There are neither safetensors nor a GGUF file in {source}."
