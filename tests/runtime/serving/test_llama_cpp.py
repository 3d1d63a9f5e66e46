"""Tests of the engine ``llama_cpp`` with the real server of the package ``xllamacpp``."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jsonschema_rs
import psutil
import pytest
from openai import OpenAI
from pydantic import ValidationError

from aiplatform.protocol.messages import Job
from aiplatform.protocol.specs import InferenceSpec
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.serving.engines import llama_cpp
from aiplatform.runtime.serving.gguf.samples import Sample, Samples
from aiplatform.runtime.stop import StopRequest
from tests.runtime.harness import Runner
from tests.runtime.serving import test_server
from tests.runtime.serving.test_server import TOKEN, Served, events
from tests.tiny_model import make_tiny_model

pytest.importorskip("xllamacpp")

QUESTIONS = [
    "Who are you?",
    "What is the capital of France?",
    "你好，你是谁？",
    "The quick brown fox",
    "Hello, how are you today?",
]


LONG_ANSWER = {
    "type": "json_schema",
    "json_schema": {
        "name": "long",
        "schema": {"type": "array", "items": {"type": "integer"}, "minItems": 500},
    },
}
"""A response format with which an answer can't end before it has five hundred numbers."""


def make_job(directory: Path, model: Path, base: Path | None, cache: Path, **spec: object) -> Job:
    job = test_server.make_job(directory, model, base, **{"engine": "llama_cpp", **spec})
    job.cache_dir = str(cache)
    return job


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def served(
    tuned_model: Path, tiny_model: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    job = make_job(directory, tuned_model, tiny_model, cache, max_length=250, max_batch_size=4)
    yield from serve(job, directory)


def serve(job: Job, directory: Path) -> Iterator[Served]:
    with Runner.of_job(job, directory) as runner:
        served = Served(runner, runner.wait_for("ready", 120)["endpoint"])
        stop = threading.Event()
        renewing = threading.Thread(target=test_server._renew, args=(runner, stop), daemon=True)
        renewing.start()
        yield served
        stop.set()
        renewing.join()


def ask(served: Served, question: str, **body: Any) -> str:
    messages = [{"role": "user", "content": question}]
    response = served.chat(**{"model": "model", "messages": messages, "max_tokens": 12, **body})
    assert response.status_code == 200, response.text
    return without_broken(response.json()["choices"][0]["message"]["content"])


def without_broken(text: str) -> str:
    """Merge adjacent replacement characters in ``text``, and remove those at its end.

    Their number differs between engines, and llama.cpp omits an incomplete last character.
    """
    mark = "\N{REPLACEMENT CHARACTER}"
    return re.sub(f"{mark}+", mark, text).rstrip(mark)


def greedy(model: Path, question: str, tokens: int = 12) -> str:
    """Return the answer that transformers gives without sampling."""
    import torch
    from transformers import AutoModelForCausalLM

    from aiplatform.runtime.chat import load_tokenizer, render

    tokenizer = load_tokenizer(model / "weights")
    text = render(tokenizer, [{"role": "user", "content": question}], answer_next=True)
    ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
    loaded = AutoModelForCausalLM.from_pretrained(str(model / "weights"), dtype=torch.float32)
    made = loaded.generate(ids, max_new_tokens=tokens, do_sample=False)
    return without_broken(tokenizer.decode(made[0][ids.shape[1] :], skip_special_tokens=True))


def test_answers_equal_those_of_transformers_and_the_adapter_is_applied(
    served: Served, tuned_model: Path, tiny_model: Path
) -> None:
    different = 0
    for question in QUESTIONS:
        tuned, base = greedy(tuned_model, question), greedy(tiny_model, question)
        assert ask(served, question) == tuned
        assert ask(served, question, model="base") == base
        different += tuned != base
    assert different >= 4


def test_simultaneous_requests_to_model_and_base_are_never_mixed(
    served: Served, tuned_model: Path, tiny_model: Path
) -> None:
    expected = {
        (name, question): greedy(model, question)
        for name, model in (("model", tuned_model), ("base", tiny_model))
        for question in QUESTIONS
    }
    wanted = [*expected] * 4
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda one: ask(served, one[1], model=one[0]), wanted))
    assert got == [expected[one] for one in wanted]


def test_streamed_answers_equal_whole_answers(served: Served) -> None:
    for model in ("model", "base"):
        whole = served.chat(model=model).json()
        options = {"stream": True, "stream_options": {"include_usage": True}}
        chunks = events(served.chat(model=model, **options))
        choices = [chunk["choices"][0] for chunk in chunks[:-1]]
        text = "".join(choice["delta"].get("content") or "" for choice in choices)
        assert text == whole["choices"][0]["message"]["content"]
        for count in ("prompt_tokens", "completion_tokens", "total_tokens"):
            assert chunks[-1]["usage"][count] == whole["usage"][count]
        assert whole["model"] == chunks[0]["model"] == "public"
        assert choices[-1]["finish_reason"] == whole["choices"][0]["finish_reason"]


def test_usage_counts_the_tokens_of_transformers(served: Served, tuned_model: Path) -> None:
    from aiplatform.runtime.chat import load_tokenizer, render

    tokenizer = load_tokenizer(tuned_model / "weights")
    text = render(tokenizer, [{"role": "user", "content": "Who are you?"}], answer_next=True)
    usage = served.chat(model="model", max_tokens=5).json()["usage"]
    assert usage["prompt_tokens"] == len(tokenizer(text, add_special_tokens=False)["input_ids"])
    assert usage["completion_tokens"] <= 5


def test_seed_repeats_a_sampled_answer(served: Served) -> None:
    options = {"temperature": 1.5, "max_tokens": 16, "seed": 7}
    first = ask(served, "on", **options)
    assert ask(served, "on", **options) == first
    others = {ask(served, "on", **{**options, "seed": seed}) for seed in range(8, 12)}
    assert others != {first}


def test_tiny_top_p_is_greedy(served: Served) -> None:
    sampled = ask(served, "on", temperature=2, top_p=1e-6, seed=3)
    assert sampled == ask(served, "on", temperature=0)


def test_stop_string_ends_the_answer_and_is_not_shown(served: Served) -> None:
    whole = ask(served, "on", temperature=0, max_tokens=20)
    stop = whole[4:6]
    response = served.chat(
        model="model",
        messages=[{"role": "user", "content": "on"}],
        max_tokens=20,
        stop=[stop],
    ).json()["choices"][0]
    assert response["message"]["content"] == whole[: whole.index(stop)]
    assert response["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"model": "other"}, 404, "no model"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "user", "content": "long " * 300}]}, 400, "at most 256 fit"),
        ({"temperature": 9}, 400, "temperature"),
        ({"n": 3}, 400, "n"),
        ({"tools": [{"type": "function"}]}, 400, "tools is not supported"),
        ({"frequency_penalty": 0.5}, 400, "frequency_penalty is not supported"),
        ({"response_format": {"type": "xml"}}, 400, "response_format"),
        ({"response_format": {"type": "json_schema"}}, 400, "needs the field json_schema"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": {"type": "nonsense"}},
                }
            },
            400,
            "llama.cpp can't use this schema",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "text"),
    ],
)
def test_errors_have_the_format_of_openai(
    served: Served, body: dict[str, Any], status: int, word: str
) -> None:
    response = served.chat(**{"model": "model", **body})
    assert response.status_code == status
    assert word in response.json()["error"]["message"]


def test_too_long_prompt_has_the_code_that_clients_know(served: Served) -> None:
    messages = [{"role": "user", "content": "long " * 300}]
    error = served.chat(model="model", messages=messages).json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")


def test_openai_client_reads_answers_and_streams(served: Served) -> None:
    client = OpenAI(base_url="http://engine/v1", api_key=TOKEN, http_client=served.http)
    assert [model.id for model in client.models.list()] == ["model", "base"]
    options: Any = {
        "messages": [{"role": "user", "content": "Who are you?"}],
        "model": "model",
        "max_completion_tokens": 8,
        "temperature": 0,
    }
    whole = client.chat.completions.create(**options)
    chunks = list(client.chat.completions.create(**options, stream=True))
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == whole.choices[0].message.content


SCHEMAS: list[dict[str, Any]] = [
    {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    },
    {"type": "array", "items": {"enum": ["red", "green"]}, "minItems": 2, "maxItems": 3},
    {"enum": ["yes", "no", None]},
    {
        "type": "object",
        "properties": {"inner": {"$ref": "#/$defs/point"}},
        "required": ["inner"],
        "$defs": {
            "point": {
                "type": "object",
                "properties": {"x": {"type": "boolean"}},
                "required": ["x"],
            }
        },
    },
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=["object", "array", "enum", "reference"])
@pytest.mark.parametrize("stream", [False, True])
def test_answer_with_a_schema_satisfies_it(
    served: Served, schema: dict[str, Any], stream: bool
) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    options = {"response_format": form, "max_tokens": 200, "temperature": 1, "seed": 5}
    response = served.chat(model="model", stream=stream, **options)
    if stream:
        choices = [chunk["choices"][0] for chunk in events(response) if chunk["choices"]]
        text = "".join(choice["delta"].get("content") or "" for choice in choices)
    else:
        text = response.json()["choices"][0]["message"]["content"]
    jsonschema_rs.validate(schema, json.loads(text))


def test_answer_as_json_object_is_one(served: Served) -> None:
    for seed in range(10):
        options = {"max_tokens": 230, "temperature": 1, "seed": seed}
        response = served.chat(model="model", response_format={"type": "json_object"}, **options)
        choice = response.json()["choices"][0]
        if choice["finish_reason"] == "stop":
            assert isinstance(json.loads(choice["message"]["content"]), dict)
            return
    pytest.fail("a model with random weights never closed the object")


def test_logprobs_are_those_of_the_answer(served: Served) -> None:
    choice = served.chat(model="model", logprobs=True, top_logprobs=2, max_tokens=4).json()
    tokens = choice["choices"][0]["logprobs"]["content"]
    assert len(tokens) == choice["usage"]["completion_tokens"]
    for token in tokens:
        assert token["logprob"] <= 0
        assert len(token["top_logprobs"]) == 2
        # Without sampling, the chosen token is the most likely one.
        assert token["logprob"] == pytest.approx(token["top_logprobs"][0]["logprob"])


@pytest.mark.parametrize("stream", [False, True])
def test_disconnected_client_ends_its_answer(served: Served, stream: bool) -> None:
    """Suspend the llama.cpp server, so that the answer can't end before the client disconnects."""
    body = {"model": "model", "stream": stream, "messages": [{"role": "user", "content": "on"}]}
    transport = httpx.HTTPTransport(uds=served.endpoint.removeprefix("unix:"))
    server = server_of(served.runner)
    server.suspend()
    try:
        with (
            httpx.Client(transport=transport, headers=served.http.headers) as client,
            pytest.raises(httpx.ReadTimeout),
        ):
            client.post("http://engine/v1/chat/completions", json=body, timeout=0.3)
        deadline = time.monotonic() + 10
        while served.http.get("/health").json() != {"running": 0}:
            assert time.monotonic() < deadline, "the answer goes on"
            time.sleep(0.02)
    finally:
        server.resume()
    assert ask(served, "on")


def test_abandoned_streams_free_the_server(served: Served) -> None:
    body = {"model": "model", "stream": True, "messages": [{"role": "user", "content": "on"}]}
    for _ in range(12):
        with served.http.stream("POST", "/v1/chat/completions", json=body) as response:
            next(response.iter_lines())
    deadline = time.monotonic() + 10
    while served.http.get("/health").json() != {"running": 0}:
        assert time.monotonic() < deadline, "the answers go on"
        time.sleep(0.02)
    assert ask(served, "on")


def test_second_start_uses_the_converted_file(tiny_model: Path, tmp_path: Path) -> None:
    directory = tmp_path / "cache"
    for attempt in range(2):
        job = make_job(tmp_path, tiny_model, None, directory)
        with Runner.of_job(job, tmp_path) as runner:
            runner.wait_for("ready", 120)
            runner.cancel(20)
            assert runner.finish() == 0
        files = [(file.name, file.stat().st_ino) for file in directory.rglob("*.gguf")]
        if attempt == 0:
            first = files
    assert len(first) == 1
    assert files == first


def test_precision_chooses_the_format_of_the_file(tiny_model: Path, tmp_path: Path) -> None:
    import gguf

    found = {}
    for precision in ("auto", "fp16"):
        cache = tmp_path / precision
        job = make_job(tmp_path, tiny_model, None, cache, precision=precision)
        with Runner.of_job(job, tmp_path) as runner:
            runner.wait_for("ready", 120)
        (file,) = cache.rglob("*.gguf")
        tensors = gguf.GGUFReader(file).tensors
        found[precision] = {tensor.tensor_type.name for tensor in tensors}
    assert found == {"auto": {"Q8_0", "F32"}, "fp16": {"F16", "F32"}}


def server_of(runner: Runner) -> psutil.Process:
    job = psutil.Process(runner.received[0]["pid"])
    return next(child for child in job.children(recursive=True) if "--ctx-size" in child.cmdline())


@pytest.mark.slow
def test_killed_server_ends_its_stream_and_fails_the_task(
    smollm2: Path, cache: Path, tmp_path: Path
) -> None:
    # The tiny model could end its answer before the server is killed.
    job = make_job(tmp_path, smollm2, None, cache, precision="fp16")
    with Runner.of_job(job, tmp_path) as runner:
        served = Served(runner, runner.wait_for("ready", 240)["endpoint"])
        body = {
            "model": "model",
            "stream": True,
            "messages": [{"role": "user", "content": "Count."}],
            "response_format": LONG_ANSWER,
        }
        with served.http.stream("POST", "/v1/chat/completions", json=body) as response:
            lines = response.iter_lines()
            next(lines)
            os.kill(server_of(runner).pid, signal.SIGKILL)
            rest = [line for line in lines if line]
        assert "llama.cpp ended" in rest[-1]
        assert runner.finish(timeout=20) == 1
        expected = "llama.cpp ended with exit code -9; the log has the cause."
        assert runner.outcome["error"] == expected


def test_killed_job_leaves_no_server(tiny_model: Path, cache: Path, tmp_path: Path) -> None:
    with Runner.of_job(make_job(tmp_path, tiny_model, None, cache), tmp_path) as runner:
        runner.wait_for("ready", 120)
        server = server_of(runner)
        os.kill(runner.received[0]["pid"], signal.SIGKILL)
        server.wait(timeout=10)


def test_stop_lets_a_running_answer_finish(tiny_model: Path, cache: Path, tmp_path: Path) -> None:
    job = make_job(tmp_path, tiny_model, None, cache, max_length=500)
    with Runner.of_job(job, tmp_path) as runner:
        served = Served(runner, runner.wait_for("ready", 120)["endpoint"])
        body = {
            "model": "model",
            "stream": True,
            "max_tokens": 200,
            "messages": [{"role": "user", "content": "on"}],
        }
        with served.http.stream("POST", "/v1/chat/completions", json=body) as response:
            lines = response.iter_lines()
            next(lines)
            runner.cancel(20)
            assert [line for line in lines if line][-1] == "data: [DONE]"
        assert runner.finish(timeout=15) == 0
        assert runner.outcome["type"] == "stopped"


def test_stop_during_the_conversion_ends_the_task_at_once(tiny_model: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with Runner.of_job(make_job(tmp_path, tiny_model, None, cache), tmp_path) as runner:
        runner.wait_until(lambda: any(cache.rglob("*.partial")))
        runner.cancel(20)
        assert runner.finish(timeout=10) == 0
        assert runner.outcome["type"] == "stopped"
    assert not list(cache.rglob("*.partial"))
    assert not list(cache.rglob("*.gguf"))


def test_unknown_architecture_is_refused_with_the_engine_to_take(
    tmp_path: Path, cache: Path
) -> None:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    model = make_tiny_model(tmp_path / "model")
    config = GPTNeoXConfig(
        vocab_size=384, hidden_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    GPTNeoXForCausalLM(config).save_pretrained(model / "weights")
    with Runner.of_job(make_job(tmp_path, model, None, cache), tmp_path) as runner:
        assert runner.finish(timeout=60) == 1
        error = runner.outcome["error"]
    assert "its architecture GPTNeoXForCausalLM can't be converted to GGUF" in error
    assert "Choose 'transformers'" in error


def test_unknown_tokenizer_is_refused(tmp_path: Path, cache: Path) -> None:
    model = make_tiny_model(tmp_path / "model")
    file = model / "weights" / "tokenizer.json"
    described = json.loads(file.read_text())
    described["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [{"type": "Whitespace"}, described["pre_tokenizer"]],
    }
    file.write_text(json.dumps(described))
    with Runner.of_job(make_job(tmp_path, model, None, cache), tmp_path) as runner:
        assert runner.finish(timeout=60) == 1
    assert "splits texts into words in an unknown way" in runner.outcome["error"]


def test_differences_from_transformers_are_found() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        rendered = {"prompt": "text"}
        return httpx.Response(
            200, json=rendered if "template" in str(request.url) else {"tokens": [1, 2]}
        )

    client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://llama")
    right = Sample(messages=[], prompt="text", tokens=[1, 2])
    llama_cpp.compare(Samples(samples=[right]), client)
    other = right.model_copy(update={"prompt": "Text"})
    with pytest.raises(JobError, match="chat template"):
        llama_cpp.compare(Samples(samples=[right, other]), client)
    other = right.model_copy(update={"tokens": [2, 1]})
    with pytest.raises(JobError, match="other tokens"):
        llama_cpp.compare(Samples(samples=[other]), client)


def test_worker_without_llama_cpp_says_what_to_install(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_cpp, "find_program", lambda _: None)
    job = make_job(tmp_path, tiny_model, None, tmp_path)
    spec = InferenceSpec(model=uuid4(), engine="llama_cpp")
    with pytest.raises(JobError, match="extra 'llama'"):
        llama_cpp.LlamaEngine(job, tiny_model, None, spec, StopRequest())


def test_programs_of_the_operator_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "llama-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert llama_cpp.find_program("/opt/llama-server") == ["/opt/llama-server"]
    assert llama_cpp.find_program(None) == [str(program)]
    monkeypatch.setenv("PATH", "")
    assert llama_cpp.find_program(None) == [
        *(sys.executable, "-m", "aiplatform.runtime.serving.llama_server")
    ]


def test_program_of_the_operator_is_started(tiny_model: Path, cache: Path, tmp_path: Path) -> None:
    """Use a program that has the interface of ``llama-server`` and logs its start."""
    program = tmp_path / "my-server"
    module = "aiplatform.runtime.serving.llama_server"
    program.write_text(
        f'#!/bin/sh\necho "started by the operator"\nexec {sys.executable} -m {module} "$@"\n'
    )
    program.chmod(0o755)
    job = make_job(tmp_path, tiny_model, None, cache)
    job.llama_server = str(program)
    with Runner.of_job(job, tmp_path) as runner:
        served = Served(runner, runner.wait_for("ready", 120)["endpoint"])
        assert served.chat(model="model").status_code == 200
        runner.cancel(20)
        assert runner.finish() == 0
    assert "started by the operator" in runner.log


def test_one_core_is_left_to_other_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for threads, policy in (("4", "ACTIVE"), ("4", "PASSIVE"), ("1", "PASSIVE")):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        monkeypatch.setenv("OMP_WAIT_POLICY", policy)
        found.append(llama_cpp.lease_threads())
    assert found == [4, 3, 1]


def test_context_of_the_spec_is_that_of_each_slot() -> None:
    spec = InferenceSpec(model=uuid4(), engine="llama_cpp", max_length=2000, max_batch_size=3)
    arguments = llama_cpp.server_arguments(Path("m"), "h", spec, 1)
    assert arguments[arguments.index("--ctx-size") + 1] == str(2048 * 3)


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_precision_that_only_llama_cpp_has_is_refused_by_others(engine: Any) -> None:
    with pytest.raises(ValidationError, match=f"the engine {engine} has no precision q8_0"):
        InferenceSpec(model=uuid4(), engine=engine, precision="q8_0")


def test_serving_process_does_not_import_torch(tiny_model: Path) -> None:
    """Check that serving a converted model loads neither torch nor transformers."""
    program = (
        "import sys, aiplatform.runtime.serving.run, aiplatform.runtime.serving.engines.llama_cpp;"
        "print(sorted({'torch', 'transformers', 'gguf'} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert said.stdout.strip() == "[]", said.stderr


def test_killed_server_of_the_base_is_started_again(
    tuned_model: Path, tiny_model: Path, cache: Path, tmp_path: Path
) -> None:
    job = make_job(tmp_path, tuned_model, tiny_model, cache)
    with Runner.of_job(job, tmp_path) as runner:
        served = Served(runner, runner.wait_for("ready", 120)["endpoint"])
        own = server_of(runner)
        tuned, base = ask(served, "on"), ask(served, "on", model="base")
        job_process = psutil.Process(runner.received[0]["pid"])
        (other,) = (
            child
            for child in job_process.children(recursive=True)
            if "--ctx-size" in child.cmdline() and child.pid != own.pid
        )
        other.kill()
        while other.status() != psutil.STATUS_ZOMBIE:  # the job reaps it at the next request
            time.sleep(0.01)
        assert ask(served, "on", model="base") == base
        assert ask(served, "on") == tuned


@pytest.mark.slow
def test_real_model_answers_as_in_transformers(smollm2: Path, cache: Path, tmp_path: Path) -> None:
    job = make_job(tmp_path, smollm2, None, cache, precision="fp16")
    with Runner.of_job(job, tmp_path) as runner:
        served = Served(runner, runner.wait_for("ready", 240)["endpoint"])
        for question in ("What is the capital of France?", "Name three colours."):
            assert ask(served, question, max_tokens=24) == greedy(smollm2, question, 24)
