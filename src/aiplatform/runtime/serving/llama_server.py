"""A program that runs the llama.cpp server from the package ``xllamacpp``.

It accepts the options of ``llama-server`` that the platform uses:
``python -m aiplatform.runtime.serving.llama_server --model …``
"""

import argparse
import signal
import sys


def main() -> int:
    """Serve the model named in the arguments until stdin is closed; return the exit code."""
    given = parse_arguments(sys.argv[1:])
    # A stop signal reaches the whole process group, but answers in progress must be finished.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = given.model
    params.hostnames = [given.host]
    params.model_alias = {given.alias}
    params.n_ctx = given.ctx_size
    params.n_parallel = given.parallel
    params.kv_unified = False
    params.cpuparams.n_threads = given.threads
    params.cpuparams_batch.n_threads = given.threads
    params.n_threads_http = given.threads_http
    params.cache_ram_mib = given.cache_ram
    params.use_jinja = given.jinja
    params.reasoning_format = xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
    params.fit_params = False
    params.ui = False
    params.verbosity = given.log_verbosity
    server = xllamacpp.Server(params)
    while sys.stdin.buffer.read(4096):
        pass
    del server
    return 0


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the values of the options, named as those of ``llama-server``."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--model", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--alias", required=True)
    parser.add_argument("--ctx-size", type=int, required=True)
    parser.add_argument("--parallel", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--threads-http", type=int, default=-1)
    parser.add_argument("--cache-ram", type=int, default=0)
    parser.add_argument("--log-verbosity", type=int, default=3)
    parser.add_argument("--reasoning-format", choices=["none"], default="none")
    parser.add_argument("--jinja", action="store_true")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
