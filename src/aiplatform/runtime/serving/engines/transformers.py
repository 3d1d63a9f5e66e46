"""The engine that runs transformers in this process, with continuous batching.

A tuned model is served with its merged weights, not as an adapter on its base. An adapter adds two
matrix products and a sum to each of a layer's seven matrix products. With small kernels, this costs
a fifth to a third of the throughput. The base is a second model, which is loaded at the first
request for it.
"""

import queue
import threading
import traceback
from collections import deque
from pathlib import Path
from typing import Any

import torch
from starlette.applications import Starlette

from aiplatform.protocol.specs import InferenceSpec
from aiplatform.runtime.artifacts import WEIGHTS
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.chat import load_tokenizer, render
from aiplatform.runtime.loading import (
    choose_precision,
    context_length,
    device,
    is_tuned,
    load_weights,
)
from aiplatform.runtime.serving.app import BASE, MODEL, ChatServer
from aiplatform.runtime.serving.engines.base import Engine, FinishReason, Generation, Piece
from aiplatform.runtime.serving.engines.batch import Batch, Row, select
from aiplatform.runtime.serving.engines.sampling import Text, choose, make_generator

PROMPT_TOKENS = 512
"""Largest number of prompt tokens, including padding, in one prefill step.

Running answers wait during a prefill step, so this limits the pause between two of their tokens.
"""

GENERATION_ERRORS = (RuntimeError, ValueError, IndexError)
"""Exceptions of a forward pass, such as out of memory; they end only the affected answers."""


def start(
    model: Path, base: Path | None, spec: InferenceSpec, token: str
) -> tuple[Starlette, "TransformersEngine"]:
    """Load the model, generate one answer, and return the application and the engine."""
    engine = TransformersEngine(
        model,
        base,
        max_length=spec.max_length,
        max_batch_size=spec.max_batch_size,
        precision=spec.precision,
    )
    warm_up(engine)
    names = [MODEL, BASE] if engine.tuned else [MODEL]
    return ChatServer(engine, token, names).app(), engine


def warm_up(engine: Engine) -> None:
    """Generate one answer, so that the first client does not wait for one-time initialization.

    Raises:
        JobError: The answer can't be generated.
    """
    pieces: queue.Queue[Piece] = queue.Queue()
    prompt = engine.encode([{"role": "user", "content": "Hello"}])
    engine.submit(
        Generation(
            prompt=prompt,
            adapted=True,
            max_tokens=2,
            temperature=0,
            top_p=1,
            seed=0,
            stop=[],
            deliver=pieces.put,
        )
    )
    while (piece := pieces.get()).finish_reason is None:
        pass
    if piece.finish_reason == "error":
        raise JobError("The model fails to answer; the log has the cause.")


class Variant:
    """A model in the server (the served model or its base), with running and waiting answers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.batch: Batch | None = None
        self.waiting: deque[Generation] = deque()
        self.loading = False
        self.failed = False

    @property
    def rows(self) -> list[Row]:
        """The answers in progress."""
        return [] if self.batch is None else self.batch.rows


class TransformersEngine:
    """An engine for a base model, or for a tuned model and its base."""

    def __init__(
        self,
        model: Path,
        base: Path | None,
        *,
        max_length: int,
        max_batch_size: int,
        precision: str = "auto",
    ) -> None:
        self.tuned = base is not None and is_tuned(model)
        self.precision = choose_precision(precision)
        self.max_batch_size = max_batch_size
        self.tokenizer = load_tokenizer(model / WEIGHTS)
        self._variants = {True: Variant(model)}
        if self.tuned and base is not None:
            self._variants[False] = Variant(base)
        self._load(self._variants[True])
        self.model = self._variants[True].batch.model  # type: ignore[union-attr]
        self.context_length = min(max_length, context_length(model))
        self._ends = self._end_tokens()
        self._inbox: queue.Queue[Generation | None] = queue.Queue()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def encode(self, messages: list[dict[str, object]]) -> list[int]:
        """Return the tokens of the prompt; the template already contains the special tokens."""
        text = render(self.tokenizer, messages, answer_next=True)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def submit(self, generation: Generation) -> None:
        """Queue a request."""
        self._inbox.put(generation)

    def failure(self) -> str | None:
        """Return why the engine can no longer answer, or None while it can."""
        if self._closing or self._thread.is_alive():
            return None
        return "The engine failed with an internal error; the log has the cause."

    def close(self) -> None:
        """Stop the engine's thread; running and waiting answers end as cancelled."""
        self._closing = True
        self._inbox.put(None)
        self._thread.join(timeout=10)

    def _end_tokens(self) -> set[int]:
        configured = getattr(self.model.generation_config, "eos_token_id", None)
        ends = set(configured if isinstance(configured, list) else [configured])
        return {token for token in ends | {self.tokenizer.eos_token_id} if token is not None}

    def _load(self, variant: Variant) -> None:
        loaded = load_weights(variant.directory, self.precision)
        variant.batch = Batch(loaded.to(device()).eval())

    # -- the engine's thread

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                while not self._closing:
                    self._receive()
                    for variant in self._variants.values():
                        self._start_waiting(variant)
                        self._step(variant)
        finally:
            # The engine was closed or has failed. End all answers, so that no client waits forever.
            for variant in self._variants.values():
                self._end_rows(variant.rows, "cancelled")
                _end_unstarted(list(variant.waiting), "cancelled")
            _end_unstarted(self._pending_requests(), "cancelled")

    def _receive(self) -> None:
        """Assign submitted requests to the served model or its base.

        If there is no other work, wait for a request.
        """
        busy = any(
            variant.rows or (variant.waiting and variant.batch is not None)
            for variant in self._variants.values()
        )
        first = [] if busy else [self._inbox.get()]
        for generation in [*first, *self._pending_requests()]:
            if generation is not None:
                adapted = generation.adapted or not self.tuned
                self._variants[adapted].waiting.append(generation)

    def _pending_requests(self) -> list[Generation | None]:
        drained = []
        while True:
            try:
                drained.append(self._inbox.get_nowait())
            except queue.Empty:
                return drained

    def _start_waiting(self, variant: Variant) -> None:
        """Start as many waiting requests as the batch has room for.

        If several requests are started, their prompts must fit into one prefill step of
        :data:`PROMPT_TOKENS`.
        """
        if not variant.waiting or not self._ensure_loaded(variant) or variant.batch is None:
            return
        batch = variant.batch
        free_rows = self.max_batch_size - sum(len(other.rows) for other in self._variants.values())
        if not batch.can_join:
            free_rows = min(free_rows, 1 - len(batch.rows))
        chosen: list[Generation] = []
        while variant.waiting and len(chosen) < free_rows:
            candidate = variant.waiting[0]
            if candidate.cancelled.is_set():
                _end_unstarted([variant.waiting.popleft()], "cancelled")
                continue
            longest = max(len(one.prompt) for one in [*chosen, candidate])
            if chosen and longest * (len(chosen) + 1) > PROMPT_TOKENS:
                break
            chosen.append(variant.waiting.popleft())
        if chosen:
            self._start_rows(batch, chosen)

    def _ensure_loaded(self, variant: Variant) -> bool:
        """Return True if the model is loaded; otherwise start loading it in a thread."""
        if variant.batch is not None:
            return True
        if variant.failed:
            # The error is in the log. The next request starts another attempt to load the model.
            variant.failed = False
            _end_unstarted(list(variant.waiting), "error")
            variant.waiting.clear()
        elif not variant.loading:
            variant.loading = True
            threading.Thread(
                target=self._load_in_thread, args=(variant,), name="loader", daemon=True
            ).start()
        return False

    def _load_in_thread(self, variant: Variant) -> None:
        try:
            self._load(variant)
        finally:
            variant.failed = variant.batch is None
            variant.loading = False
            self._inbox.put(None)  # wakes the engine's thread

    def _start_rows(self, batch: Batch, chosen: list[Generation]) -> None:
        """Prefill new prompts, choose their first tokens, and add their rows to the batch."""
        rows = [
            Row(
                generation,
                Text(self.tokenizer.backend_tokenizer, generation.stop),
                make_generator(generation.seed, batch.device),
                length=0,
            )
            for generation in chosen
        ]
        try:
            cache = batch.new_cache()
            prompts = [generation.prompt for generation in chosen]
            if len(prompts) == 1 and batch.can_join:
                # A long prompt is computed in parts, with one token for all other rows in between.
                (prompt,) = prompts
                while len(prompt) > PROMPT_TOKENS:
                    batch.compute(rows, [prompt[:PROMPT_TOKENS]], cache)
                    prompt = prompt[PROMPT_TOKENS:]
                    for other in self._variants.values():
                        self._step(other)
                prompts = [prompt]
            logits = batch.compute(rows, prompts, cache)
            staying = [
                index
                for index, row in enumerate(rows)
                if not self._choose_token(row, logits[index])
            ]
            batch.join([rows[index] for index in staying], select(cache, rows, staying))
        except GENERATION_ERRORS:
            traceback.print_exc()
            self._end_rows(rows, "error")

    def _step(self, variant: Variant) -> None:
        """Generate one more token for each answer in the batch."""
        batch = variant.batch
        if batch is None or not batch.rows:
            return
        try:
            logits = batch.compute(batch.rows, [[row.last] for row in batch.rows], batch.cache)
            batch.leave(
                {
                    index
                    for index, row in enumerate(batch.rows)
                    if self._choose_token(row, logits[index])
                }
            )
        except GENERATION_ERRORS:
            traceback.print_exc()
            self._end_rows(batch.rows, "error")
            batch.clear()

    def _choose_token(self, row: Row, logits: Any) -> bool:
        """Choose an answer's next token and send its text; return True at the answer's end."""
        wanted = row.generation
        if wanted.cancelled.is_set():
            row.deliver("", "cancelled")
            return True
        row.last = choose(logits, wanted.temperature, wanted.top_p, row.generator)
        row.generated += 1
        if row.last in self._ends:
            row.deliver(row.text.rest(), "stop")
            return True
        text = row.text.add(row.last)
        if row.text.stopped:
            row.deliver(text, "stop")
            return True
        if row.generated >= wanted.max_tokens:
            row.deliver(text + row.text.rest(), "length")
            return True
        row.deliver(text)
        return False

    @staticmethod
    def _end_rows(rows: list[Row], reason: FinishReason) -> None:
        for row in rows:
            row.deliver("", reason)


def _end_unstarted(generations: list[Any], reason: FinishReason) -> None:
    """End requests that have not been started."""
    for generation in generations:
        if generation is not None:
            generation.deliver(Piece("", 0, reason))
