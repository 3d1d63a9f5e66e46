"""Engines that generate tokens: transformers in this process, llama.cpp or vLLM in a child process.

Each engine is a module with a ``start`` function. It has a case in :func:`start_engine`, and its
name is listed in :data:`aiplatform.protocol.specs.EngineName`.
"""

from pathlib import Path
from typing import Any, assert_never

from aiplatform.protocol.messages import Job
from aiplatform.protocol.specs import InferenceSpec
from aiplatform.runtime.serving.engines.base import Server
from aiplatform.runtime.stop import StopRequest


def start_engine(
    job: Job, spec: InferenceSpec, token: str, stop: StopRequest
) -> tuple[Any, Server]:
    """Start the engine that ``spec`` names; return its ASGI application and the engine.

    Only the packages that this engine needs are imported.
    """
    model = Path(job.inputs["model"])
    base = Path(job.inputs["base_model"]) if "base_model" in job.inputs else None
    match spec.engine:
        case "transformers":
            from aiplatform.runtime.serving.engines import transformers

            return transformers.start(model, base, spec, token)
        case "vllm":
            from aiplatform.runtime.serving.engines import vllm

            return vllm.start(model, base, spec, token, stop)
        case "llama_cpp":
            from aiplatform.runtime.serving.engines import llama_cpp

            return llama_cpp.start(job, model, base, spec, token, stop)
        case _ as other:
            assert_never(other)
