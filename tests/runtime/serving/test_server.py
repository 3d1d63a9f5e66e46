"""Tests of the whole model server under its launcher: start, answers, errors and stop."""

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from openai import NotFoundError, OpenAI

from aiplatform.protocol.messages import Drain, Job, ServingAddress
from aiplatform.protocol.specs import InferenceSpec
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.serving.engines.relay import renamed_pieces
from aiplatform.runtime.serving.engines.vllm import VllmEngine, vllm_arguments
from aiplatform.runtime.stop import StopRequest
from tests.runtime.harness import Runner

TOKEN = "a token"


def make_job(directory: Path, model: Path, base: Path | None, **spec: object) -> Job:
    inputs = {"model": str(model)} | ({} if base is None else {"base_model": str(base)})
    return Job.model_validate(
        {
            "task": uuid4(),
            "attempt": 1,
            "spec": {"type": "inference", "model": str(uuid4()), "precision": "fp32", **spec},
            "inputs": inputs,
            "output_dir": str(directory),
            "checkpoint_dir": str(directory),
            "serving": {"socket": str(directory / "s.sock"), "token": TOKEN},
        }
    )


class Served:
    """A running model server and an HTTP client for it."""

    def __init__(self, runner: Runner, endpoint: str) -> None:
        self.runner = runner
        self.endpoint = endpoint
        self.http = httpx.Client(
            transport=httpx.HTTPTransport(uds=endpoint.removeprefix("unix:")),
            base_url="http://engine",
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=60,
        )

    def chat(self, **body: Any) -> httpx.Response:
        messages = [{"role": "user", "content": "Who are you?"}]
        return self.http.post(
            "/v1/chat/completions",
            json={"messages": messages, "max_tokens": 8, "temperature": 0, **body},
            headers={"X-Model-Name": "public"},
        )


@pytest.fixture(scope="module")
def served(
    tuned_model: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    job = make_job(directory, tuned_model, tiny_model, max_length=200)
    with Runner.of_job(job, directory) as runner:
        ready = runner.wait_for("ready")
        # The lease has to be renewed while the tests are running.
        served = Served(runner, ready["endpoint"])
        stop = threading.Event()
        renewing = threading.Thread(target=_renew, args=(runner, stop), daemon=True)
        renewing.start()
        yield served
        stop.set()
        renewing.join()


def _renew(runner: Runner, stop: threading.Event) -> None:
    while not stop.wait(5):
        runner.renew(45)


def events(response: httpx.Response) -> list[Any]:
    lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_streamed_answers_equal_whole_answers(served: Served) -> None:
    for model in ("model", "base"):
        whole = served.chat(model=model).json()
        chunks = events(
            served.chat(model=model, stream=True, stream_options={"include_usage": True})
        )
        text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks[:-1])
        assert text == whole["choices"][0]["message"]["content"]
        assert chunks[-1]["usage"] == whole["usage"]
        assert whole["model"] == chunks[0]["model"] == "public"
        reasons = [c["choices"][0]["finish_reason"] for c in chunks[:-1]]
        assert reasons[-1] == whole["choices"][0]["finish_reason"]


def test_request_with_another_token_is_refused(served: Served) -> None:
    refused = served.http.get("/v1/models", headers={"Authorization": "Bearer other"})
    assert refused.status_code == 401


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"model": "other"}, 404, "no model"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "user", "content": "long " * 300}]}, 400, "200"),
        ({"temperature": 9}, 400, "temperature"),
        ({"n": 3}, 400, "n"),
        ({"tools": [{"type": "function"}]}, 400, "tools is not supported"),
        ({"response_format": {"type": "json_object"}}, 400, "response_format is not supported"),
        ({"logprobs": True}, 400, "logprobs is not supported"),
        ({"frequency_penalty": 0.5}, 400, "frequency_penalty is not supported"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "text"),
    ],
)
def test_errors_have_the_format_of_openai(
    served: Served, body: dict[str, Any], status: int, word: str
) -> None:
    response = served.chat(**{"model": "model", **body})
    assert response.status_code == status
    assert word in response.json()["error"]["message"]


def test_unsupported_parameters_without_effect_are_accepted(served: Served) -> None:
    plain = served.chat(model="model").json()["choices"]
    extras = {
        "frequency_penalty": 0,
        "logprobs": False,
        "tools": [],
        "user": "me",
        "n": 1,
        "response_format": {"type": "text"},
        "metadata": {"a": "b"},
        "stop": None,
    }
    assert served.chat(model="model", **extras).json()["choices"] == plain


def test_invalid_json_is_a_bad_request(served: Served) -> None:
    response = served.http.post("/v1/chat/completions", content=b"{")
    assert response.status_code == 400
    assert "JSON" in response.json()["error"]["message"]


def test_openai_client_gets_answers_streams_and_errors(served: Served) -> None:
    client = OpenAI(base_url="http://engine/v1", api_key=TOKEN, http_client=served.http)
    assert [model.id for model in client.models.list()] == ["model", "base"]
    ask = {"messages": [{"role": "user", "content": "Who are you?"}], "model": "model"}
    options = {"max_completion_tokens": 8, "temperature": 0, "seed": 1}
    whole = client.chat.completions.create(**ask, **options)
    stream = client.chat.completions.create(
        **ask, **options, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert whole.usage.completion_tokens <= 8
    with pytest.raises(NotFoundError, match="no model 'other'"):
        client.chat.completions.create(**{**ask, "model": "other"})


def test_socket_is_accessible_only_to_its_owner(served: Served) -> None:
    path = Path(served.endpoint.removeprefix("unix:"))
    assert path.stat().st_mode & 0o777 == 0o600


def test_content_in_parts_is_joined(served: Served) -> None:
    parts = [{"type": "text", "text": "Who are "}, {"type": "text", "text": "you?"}]
    joined = served.chat(model="model", messages=[{"role": "user", "content": parts}])
    assert joined.json()["choices"] == served.chat(model="model").json()["choices"]


def test_disconnected_client_ends_its_answer(served: Served) -> None:
    body = {
        "model": "model",
        "stream": True,
        "max_tokens": 150,
        "messages": [{"role": "user", "content": "on"}],
    }
    with served.http.stream("POST", "/v1/chat/completions", json=body) as response:
        next(response.iter_lines())
    for _ in range(100):
        if served.http.get("/health").json() == {"running": 0}:
            return
    pytest.fail("the answer goes on")


def test_stop_ends_the_server_and_removes_its_socket(tiny_model: Path, tmp_path: Path) -> None:
    with Runner.of_job(make_job(tmp_path, tiny_model, None), tmp_path) as runner:
        ready = runner.wait_for("ready")
        served = Served(runner, ready["endpoint"])
        assert [m["id"] for m in served.http.get("/v1/models").json()["data"]] == ["model"]
        runner.cancel(20)
        assert runner.finish() == 0
        assert runner.received[-1]["type"] == "stopped"
    assert not (tmp_path / "s.sock").exists()


def test_stop_lets_a_running_answer_finish(tiny_model: Path, tmp_path: Path) -> None:
    job = make_job(tmp_path, tiny_model, None, max_length=500)
    with Runner.of_job(job, tmp_path) as runner:
        served = Served(runner, runner.wait_for("ready")["endpoint"])
        body = {
            "model": "model",
            "stream": True,
            "max_tokens": 60,
            "messages": [{"role": "user", "content": "on"}],
        }
        with served.http.stream("POST", "/v1/chat/completions", json=body) as response:
            lines = response.iter_lines()
            next(lines)
            runner.cancel(20)
            assert [line for line in lines if line][-1] == "data: [DONE]"
        assert runner.finish(timeout=15) == 0
        assert runner.outcome["type"] == "stopped"
        served.http = httpx.Client(transport=httpx.HTTPTransport(uds=str(tmp_path / "s.sock")))
        with pytest.raises(httpx.ConnectError):
            served.http.get("http://engine/health")


def test_replaced_server_completes_answers_takes_late_requests_and_ends(
    tiny_model: Path, tmp_path: Path
) -> None:
    job = make_job(tmp_path, tiny_model, None, max_length=500)
    with Runner.of_job(job, tmp_path) as runner:
        served = Served(runner, runner.wait_for("ready")["endpoint"])
        body = {
            "model": "model",
            "stream": True,
            "max_tokens": 200,
            "messages": [{"role": "user", "content": "on"}],
        }
        with served.http.stream("POST", "/v1/chat/completions", json=body) as response:
            lines = response.iter_lines()
            next(lines)
            runner.send(Drain())
            # Another connection sends a request after the server has been asked to drain.
            transport = httpx.HTTPTransport(uds=str(tmp_path / "s.sock"))
            late = httpx.Client(transport=transport, headers=served.http.headers, timeout=60)
            told = late.post(
                "http://engine/v1/chat/completions", json={**body, "stream": False, "max_tokens": 3}
            )
            assert told.status_code == 200, told.text
            assert [line for line in lines if line][-1] == "data: [DONE]"
        assert runner.finish(timeout=30) == 0
        assert runner.outcome["type"] == "stopped"
    assert not (tmp_path / "s.sock").exists()


def test_server_on_tcp_accepts_requests(tiny_model: Path, tmp_path: Path) -> None:
    job = make_job(tmp_path, tiny_model, None)
    job.serving = ServingAddress(host="127.0.0.1", token=TOKEN)
    with Runner.of_job(job, tmp_path) as runner:
        endpoint = runner.wait_for("ready")["endpoint"]
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert httpx.get(f"{endpoint}/health", headers=headers).json() == {"running": 0}
        assert httpx.get(f"{endpoint}/health").status_code == 401


def test_too_long_socket_path_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    job = make_job(tmp_path, tiny_model, None)
    job.serving = ServingAddress(socket=f"/tmp/{'x' * 200}", token=TOKEN)
    with Runner.of_job(job, tmp_path) as runner:
        assert runner.finish() == 1
        assert "too long" in runner.outcome["error"]


FAKE_VLLM = """\
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
port = next(int(a.split("=")[1]) for a in sys.argv if a.startswith("--port="))
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def answer(self, body, kind="application/json"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self): self.answer(b"{}")
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = {"model": body["model"], "choices": [], "arguments": sys.argv[1:]}
        if body.get("stream"):
            text = "data: " + json.dumps(said) + "\\n\\ndata: [DONE]\\n\\n"
            self.answer(text.encode(), "text/event-stream")
        else:
            self.answer(json.dumps(said).encode())
HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def test_requests_are_passed_to_vllm(tuned_model: Path, tiny_model: Path, tmp_path: Path) -> None:
    """Use a fake vLLM on the PATH, because the real one needs a GPU or takes minutes."""
    program = tmp_path / "bin" / "vllm"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n{FAKE_VLLM}")
    program.chmod(0o755)
    job = make_job(tmp_path, tuned_model, tiny_model, engine="vllm", max_length=128)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    with Runner.of_job(job, tmp_path, PATH=path) as runner:
        served = Served(runner, runner.wait_for("ready")["endpoint"])
        answer = served.chat(model="model").json()
        assert answer["model"] == "public"
        assert f"--lora-modules=model={tuned_model / 'adapter'}" in answer["arguments"]
        assert events(served.chat(model="base", stream=True))[0]["model"] == "public"
        runner.cancel(20)
        assert runner.finish() == 0


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_stream_of_vllm_is_relayed_as_it_is_but_for_the_model(size: int) -> None:
    """Check that only the name of the model is replaced, wherever the stream is split."""
    text = json.dumps({"model": "model", "delta": 'say "model":"base" 中'}, ensure_ascii=False)
    sent = f"data: {text}\n\n: comment\n\ndata: [DONE]\n\ndata: cut".encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(sent), size):
            yield sent[start : start + size]

    async def relayed(public: str | None) -> bytes:
        answer = httpx.Response(200, content=pieces())
        return b"".join([piece async for piece in renamed_pieces(answer, public)])

    assert asyncio.run(relayed(None)) == sent
    changed = asyncio.run(relayed('our "模型"'))
    assert changed == sent.replace(b'"model": "model"', '"model":"our \\"模型\\""'.encode())


def fake_vllm(directory: Path, program: str) -> str:
    """Return a PATH on which the command ``vllm`` runs the Python code in ``program``."""
    file = directory / "bin" / "vllm"
    file.parent.mkdir()
    file.write_text(f"#!{sys.executable}\n{program}")
    file.chmod(0o755)
    return f"{file.parent}{os.pathsep}{os.environ['PATH']}"


def test_task_fails_when_vllm_ends(tiny_model: Path, tmp_path: Path) -> None:
    dies = FAKE_VLLM.replace("def do_POST(self):", "def do_POST(self): os._exit(9)\n    def no():")
    path = fake_vllm(tmp_path, dies)
    job = make_job(tmp_path, tiny_model, None, engine="vllm")
    with Runner.of_job(job, tmp_path, PATH=path) as runner:
        served = Served(runner, runner.wait_for("ready")["endpoint"])
        assert served.chat(model="model").status_code == 503
        assert runner.finish(timeout=20) == 1
        assert runner.outcome["error"] == "vLLM ended with exit code 9; the log has the cause."


def test_stop_while_vllm_loads_ends_the_task_at_once(tiny_model: Path, tmp_path: Path) -> None:
    path = fake_vllm(tmp_path, "import time; print('loading', flush=True); time.sleep(600)")
    job = make_job(tmp_path, tiny_model, None, engine="vllm")
    with Runner.of_job(job, tmp_path, PATH=path) as runner:
        while "loading" not in runner.log:
            runner._pump(0.2)
        runner.cancel(20)
        assert runner.finish(timeout=10) == 0
        assert runner.outcome["type"] == "stopped"


def test_worker_without_vllm_says_what_to_install(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    spec = InferenceSpec(model=uuid4(), engine="vllm")
    with pytest.raises(JobError, match="extra 'vllm'"):
        VllmEngine(tiny_model, None, spec, StopRequest())


def test_vllm_arguments_of_a_base_model_have_no_adapter(tiny_model: Path, tmp_path: Path) -> None:
    spec = make_job(tmp_path, tiny_model, None, engine="vllm", max_batch_size=3).spec
    arguments = vllm_arguments(tiny_model, None, spec, 8000)
    assert arguments[:2] == ["serve", str(tiny_model / "weights")]
    assert "--served-model-name=model" in arguments
    assert "--max-num-seqs=3" in arguments
    assert not [item for item in arguments if "lora" in item]
