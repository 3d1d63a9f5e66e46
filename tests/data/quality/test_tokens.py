"""Tests of token counts, which must equal those used in training."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from aiplatform.data.quality import token_counts
from aiplatform.data.quality.chat_template import PLAIN_TEMPLATE, ChatTemplate, TemplateRefusedError
from tests.data.conftest import chat
from tests.data.quality.conftest import Report, codes, found


def length(weights: Path, text: str) -> int:
    tokenizer = Tokenizer.from_file(str(weights / "tokenizer.json"))
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


def with_template(weights: Path, tmp_path: Path, template: Any) -> Path:
    copy = tmp_path / "model"
    shutil.copytree(weights, copy)
    config = json.loads((copy / "tokenizer_config.json").read_text())
    config["chat_template"] = template
    (copy / "tokenizer_config.json").write_text(json.dumps(config))
    return copy


def test_report_has_statistics_of_token_counts(report: Report, weights: Path) -> None:
    texts = ["hello", "hello world", "你好，世界 " * 10]
    made = report([{"text": text} for text in texts], weights, max_length=20)["tokens"]
    counts = sorted(length(weights, text + "<|im_end|>") for text in texts)
    assert made["total"] == sum(counts)
    assert (made["min"], made["p50"], made["p95"], made["max"]) == (*counts, counts[2])
    assert made["mean"] == round(sum(counts) / 3, 2)
    assert made["rows"] == 3
    assert made["max_length"] == 20
    assert made["over_length"] == sum(c > 20 for c in counts)
    width = made["histogram"]["width"]
    expected = [0] * (counts[2] // width + 1)
    for count in counts:
        expected[count // width] += 1
    assert made["histogram"]["counts"] == expected
    assert len(expected) <= 20


def test_rows_longer_than_the_limit_are_found(report: Report, weights: Path) -> None:
    rows = [chat("u: hi", "a: " + "word " * n) for n in (1, 50, 2, 60)]
    finding = found(report(rows, weights, max_length=40), "over_length")
    assert finding["count"] == 2
    assert [e["row"] for e in finding["examples"]] == [1, 3]
    assert "longer than 40 tokens" in finding["message"]


def test_conversations_are_counted_with_the_chat_template(report: Report, weights: Path) -> None:
    made = report([chat("s: brief", "u: hi", "a: hello")], weights)["tokens"]
    text = (
        "<|im_start|>system\nbrief<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
        "<|im_start|>assistant\nhello<|im_end|>\n"
    )
    assert made["total"] == length(weights, text)
    assert made["template"] == "model"


def test_messages_after_the_last_answer_do_not_count(report: Report, weights: Path) -> None:
    whole = report([chat("u: hi", "a: hello")], weights)["tokens"]
    longer = report([chat("u: hi", "a: hello", "u: and then? " + "x " * 50)], weights)["tokens"]
    assert longer["total"] == whole["total"]


def test_model_without_a_template_uses_the_plain_one(
    report: Report, weights: Path, tmp_path: Path
) -> None:
    plain = with_template(weights, tmp_path, None)
    made = report([chat("u: hi", "a: hello")], plain)["tokens"]
    assert made["template"] == "plain"
    assert made["total"] == length(weights, "User: hi\nAssistant: hello<|im_end|>\n")


def test_answer_without_an_end_token_gets_one(
    report: Report, weights: Path, tmp_path: Path
) -> None:
    bare = with_template(
        weights, tmp_path, "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    )
    made = report([chat("u: hi", "a: hello")], bare)["tokens"]
    assert made["total"] == length(weights, "hi\nhello<|im_end|>")


def test_preference_pair_counts_as_its_longer_side(report: Report, weights: Path) -> None:
    long, short = "word " * 30, "no"
    totals = [
        report([{"prompt": "hi", "chosen": a, "rejected": b}], weights)["tokens"]["total"]
        for a, b in ((long, short), (short, long), (short, short))
    ]
    assert totals[0] == totals[1] > totals[2]


def test_rows_without_a_conversation_do_not_count(report: Report, weights: Path) -> None:
    made = report([chat("u: hi", "a: hello"), {"messages": None}], weights)
    assert made["tokens"]["rows"] == 1
    assert report([{"a": 1}, {"a": 2}], weights)["tokens"] is None


def test_rows_that_the_template_refuses_are_found(
    report: Report, weights: Path, tmp_path: Path
) -> None:
    strict = with_template(
        weights,
        tmp_path,
        "{% if messages[0]['role'] != 'user' %}{{ raise_exception('users go first') }}{% endif %}"
        "{% for m in messages %}{{ m['content'] }}{% endfor %}",
    )
    made = report([chat("u: hi", "a: x"), chat("a: hi", "u: y", "a: z")], strict)
    finding = found(made, "template_refuses")
    assert finding["count"] == 1
    assert "users go first" in finding["message"]
    assert made["tokens"]["rows"] == 1
    # As in training, a system message that the template refuses is prepended to the first turn.
    assert "template_refuses" not in codes(report([chat("s: be", "u: hi", "a: x")], strict))


def test_template_that_does_not_compile_is_an_error(
    report: Report, weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(TemplateRefusedError):
        report([chat("u: hi", "a: x")], with_template(weights, tmp_path, "{% for %}"))


def test_of_model_finds_named_and_separate_templates(weights: Path, tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "hi"}]
    several = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]
    model = with_template(weights, tmp_path, several)
    assert ChatTemplate.of_model(model).render(messages) == "yes"
    (model / "chat_template.jinja").write_text("{{ bos_token }}file{{ eos_token }}")
    assert ChatTemplate.of_model(model).render(messages) == "<|im_start|>file<|im_end|>"


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{% for i in range(10**9) %}x{% endfor %}",
        "{{ cycler.__init__.__globals__ }}",
    ],
)
def test_render_of_an_unsafe_template_is_refused(template: str) -> None:
    with pytest.raises((TemplateRefusedError, OverflowError)):
        ChatTemplate(template, {}).render([{"role": "user", "content": "hi"}])


def test_long_texts_are_counted_in_pieces(
    report: Report, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": "hello world " * n} for n in (1, 100, 3)]
    whole = report(rows, weights)["tokens"]
    monkeypatch.setattr(token_counts, "cuts_at_spaces", lambda _: False)
    monkeypatch.setattr(token_counts, "PIECE_CHARACTERS", 120)
    monkeypatch.setattr(token_counts, "BATCH_CHARACTERS", 300)
    monkeypatch.setattr(token_counts, "BATCH_TEXTS", 2)
    pieces = report(rows, weights)["tokens"]
    assert abs(pieces["total"] - whole["total"]) <= 12
    assert pieces["min"] == whole["min"]


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "role": st.sampled_from(["system", "user", "assistant", "tool"]),
                "content": st.text(st.sampled_from(" \n\u3000a{}ß'<&")),
            }
        ),
        min_size=1,
    )
)
def test_plain_rendering_equals_the_plain_template(messages: Any) -> None:
    special = {"eos_token": "</s>"}
    assert ChatTemplate(None, special).render(messages) == ChatTemplate(
        PLAIN_TEMPLATE, special
    ).render(messages)


TEMPLATES = [
    (
        "{% for m in messages %}{% if loop.first and m.role != 'system' %}S{% endif %}"
        "{{ m.role }}: {{ m.content | trim }}\n{% endfor %}"
    ),
    (
        "{%- for m in messages %}\n    {%- if m.role == 'assistant' %}\n"
        "        {%- generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}\n"
        "    {%- else %}\n        {{- m | tojson }}\n    {%- endif %}\n{%- endfor %}"
    ),
    (
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
        "{% if m.role == 'tool' %}{% continue %}{% endif %}{{ ns.n }}{{ m['content'] }}{% endfor %}"
    ),
    (
        "{{ bos_token }}{% if tools %}T{% endif %}{% for m in messages %}\n  x {{ m.content }}\n"
        "{% endfor %}{% if add_generation_prompt %}G{% endif %}{{ 'é' | tojson }}"
    ),
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_render_equals_transformers(weights: Path, tmp_path: Path, template: str) -> None:
    transformers = pytest.importorskip("transformers")
    model = with_template(weights, tmp_path, template)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(model))
    ours = ChatTemplate.of_model(model)
    for turns in (
        ["u: hi", "a: hello"],
        ["s: brief", "u: 你好 <b>", "a:  spaced ", "t: 4", "a: done"],
    ):
        messages = chat(*turns)["messages"]
        theirs = tokenizer.apply_chat_template(messages, tokenize=False)
        assert ours.render(messages) == theirs


def test_tokens_import_neither_torch_nor_transformers(weights: Path) -> None:
    program = (
        "import sys, pathlib;"
        "import aiplatform.data.ingest, aiplatform.data.blobs, aiplatform.data.quality.report;"
        "import aiplatform.data.quality as q, pyarrow as pa;"
        "light = set(sys.modules);"
        "from aiplatform.data.quality.tokens import Tokens;"
        "from aiplatform.protocol.enums import DataShape;"
        "Tokens(q.Context(DataShape.TEXT, pa.schema([]), 1), pathlib.Path(sys.argv[1]), 8);"
        "print({'tokenizers', 'jinja2'} & light, {'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(weights)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set() set()"
