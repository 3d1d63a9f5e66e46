"""Model import jobs, which fetch and check a base model's files and write a model directory.

Files from all sources pass through the same checks. safetensors are copied unchanged, GGUF files
are converted, pickles are refused, and Python code is left out.
"""

import shutil
from pathlib import Path
from typing import Any

from aiplatform.protocol.enums import ModelKind
from aiplatform.protocol.messages import Job
from aiplatform.protocol.model_sources import HubSource, PackageSource, UploadSource
from aiplatform.protocol.specs import ImportSpec
from aiplatform.runtime.artifacts import CARD, WEIGHTS, make_durable
from aiplatform.runtime.channel import Reporter
from aiplatform.runtime.importing.files import Fetched, find_model
from aiplatform.runtime.model_cards import PIPELINES, read_front_matter, write_card


def run_import(job: Job, report: Reporter) -> dict[str, Any]:
    """Write a model into the job's output directory and return a description of it."""
    spec = job.spec
    assert isinstance(spec, ImportSpec)
    output = Path(job.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    incoming = output / ".incoming"
    for left_over in (incoming, output / WEIGHTS):  # left by a killed attempt
        shutil.rmtree(left_over, ignore_errors=True)
    try:
        fetched = fetch(spec, job, incoming, report)
        report.progress(0.6)
        description = lay_out(fetched, output / WEIGHTS, report)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    description["source"] = fetched.origin
    write_card(
        output / CARD,
        {
            "license": description.get("license"),
            "library_name": "transformers",
            "pipeline_tag": PIPELINES[ModelKind(description["kind"])],
        },
        card_body(description, fetched),
    )
    make_durable(output)
    report.progress(1.0)
    return description


def fetch(spec: ImportSpec, job: Job, incoming: Path, report: Reporter) -> Fetched:
    """Return the source's files, downloading them if the source is a hub."""
    match spec.source:
        case UploadSource():
            return Fetched(Path(job.inputs["source"]), {"kind": "upload"})
        case PackageSource(package=package):
            from aiplatform.runtime.importing.package import find_in_package

            return find_in_package(package)
        case HubSource():
            from aiplatform.runtime.importing.hub import download

            return download(spec.source, incoming, report)


def lay_out(fetched: Fetched, weights: Path, report: Reporter) -> dict[str, Any]:
    """Write the directory ``weights`` from the fetched files; return a description of the model."""
    found = find_model(fetched)
    weights.mkdir()
    if found.gguf is not None:
        from aiplatform.runtime.importing.gguf import convert

        description = convert(found.gguf, weights, report)
    else:
        for file in found.kept:
            shutil.copyfile(file, weights / file.name)
        description = {}
    for file in found.licenses:
        shutil.copyfile(file, weights / file.name)
    if found.left_out:
        description["left_out"] = found.left_out

    from aiplatform.runtime.importing.check import check_model

    description = {**check_model(weights), **description}
    # The licence that the model names takes precedence over the package's.
    for named in (
        description.get("license"),
        read_front_matter(weights / CARD).get("license"),
        fetched.license,
    ):
        if isinstance(named, str) and named:
            description["license"] = named
            break
    report.progress(0.95)
    return description


def card_body(description: dict[str, Any], fetched: Fetched) -> str:
    """Return the model card's Markdown text."""
    origin = ", ".join(f"{key} {value}" for key, value in fetched.origin.items() if key != "kind")
    architecture, dtype = description["architecture"], description["dtype"]
    lines = [
        "# Encoder" if description["kind"] == ModelKind.ENCODER else "# Base model",
        f"{architecture}, {description['parameters']:,} parameters, {dtype}.",
        f"Imported from {origin or 'uploaded files'}.",
    ]
    if quantization := description.get("quantization"):
        lines.append(
            f"The file held {quantization} weights; they were unpacked to {dtype}. What the "
            "quantization lost stays lost: the original model's scores are not this one's."
        )
    if left_out := description.get("left_out"):
        lines.append(f"Left out: {', '.join(left_out)}.")
    return "\n\n".join(lines)
