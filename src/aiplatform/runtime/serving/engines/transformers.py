"""Answers by transformers in this process: rows are decoded together and join between tokens."""

import contextlib
import queue
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from aiplatform.runtime.artifacts import WEIGHTS
from aiplatform.runtime.chat import load_tokenizer, render
from aiplatform.runtime.loading import (
    choose_precision,
    device,
    is_tuned,
    load_adapter,
    load_weights,
)
from aiplatform.runtime.serving.engines.base import Generation, Piece
from aiplatform.runtime.serving.engines.batch import BASE, Batch, Row, can_join
from aiplatform.runtime.serving.engines.sampling import Text, choose, make_generator


class TransformersEngine:
    """One model, with its base behind the same weights when it is a tuned one."""

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
        self.device = device()
        weights = base if self.tuned and base is not None else model
        loaded = load_weights(weights, choose_precision(precision))
        if self.tuned:
            loaded = load_adapter(loaded, model)
        self.model = loaded.to(self.device).eval()
        self.tokenizer = load_tokenizer(model / WEIGHTS)
        self.context_length = min(max_length, self._longest())
        self.max_batch_size = max_batch_size
        self._ends = self._end_tokens()
        self._waiting: queue.Queue[Generation | None] = queue.Queue()
        self._batch = Batch(self.device)
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def encode(self, messages: list[dict[str, object]]) -> list[int]:
        """The prompt's tokens; the template wrote the special ones already."""
        text = render(self.tokenizer, messages, answer_next=True)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def submit(self, generation: Generation) -> None:
        """Queue an answer."""
        self._waiting.put(generation)

    def close(self) -> None:
        """End the thread; what still runs ends as cancelled."""
        self._waiting.put(None)
        self._thread.join(timeout=10)

    def _longest(self) -> int:
        config = self.model.config
        return int(getattr(config, "max_position_embeddings", 0) or 1 << 30)

    def _end_tokens(self) -> set[int]:
        configured = getattr(self.model.generation_config, "eos_token_id", None)
        ends = set(configured if isinstance(configured, list) else [configured])
        return {token for token in ends | {self.tokenizer.eos_token_id} if token is not None}

    def _run(self) -> None:
        with torch.inference_mode():
            while True:
                idle = not self._batch.rows
                if not self._admit(wait=idle):
                    break
                if self._batch.rows:
                    self._guarded(self._step)
        for row in self._batch.rows:
            row.deliver("", "cancelled")

    def _guarded(self, step: Any) -> None:
        """A fault in one step ends the answers it concerned, not the server."""
        try:
            step()
        except (RuntimeError, ValueError, IndexError):
            traceback.print_exc()
            for row in self._batch.rows:
                row.deliver("", "error")
            self._batch.rows, self._batch.cache = [], None

    def _admit(self, *, wait: bool) -> bool:
        """Let waiting requests in; False when the engine is to end.

        One joins per token while others are being answered, so that a long prompt holds them up
        once, not many times in a row.
        """
        while len(self._batch.rows) < self.max_batch_size:
            if self._batch.cache is not None and not can_join(self._batch.cache):
                return True
            try:
                generation = self._waiting.get(block=wait and not self._batch.rows)
            except queue.Empty:
                return True
            if generation is None:
                return False
            if generation.cancelled.is_set():
                generation.deliver(Piece("", 0, "cancelled"))
                continue
            self._begin(generation)
            if len(self._batch.rows) > 1:
                return True
        return True

    def _begin(self, generation: Generation) -> None:
        """Compute the prompt, choose the first token, and join the others."""
        from transformers.cache_utils import DynamicCache

        try:
            row = Row(
                generation,
                Text(self.tokenizer.backend_tokenizer, generation.stop),
                make_generator(generation.seed, self.device),
                length=len(generation.prompt),
                last=0,
            )
            cache = DynamicCache(config=self.model.config)
            prompt = torch.tensor([generation.prompt], device=self.device)
            with self._variant([row]) as extra:
                logits = self.model(
                    input_ids=prompt,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                    **extra,
                ).logits
        except (RuntimeError, ValueError, IndexError):
            traceback.print_exc()
            generation.deliver(Piece("", 0, "error"))
            return
        if not self._take(row, logits[0, -1]):
            self._batch.join(row, cache)

    def _step(self) -> None:
        """One more token for every row."""
        batch = self._batch
        with self._variant(batch.rows) as extra:
            logits = self.model(**batch.inputs(), **extra).logits
        gone = set()
        for place, row in enumerate(batch.rows):
            row.length += 1
            if self._take(row, logits[place, -1]):
                gone.add(place)
        batch.leave(gone)

    def _take(self, row: Row, logits: Any) -> bool:
        """Choose a row's next token and deliver its text; True when the answer has ended."""
        wanted = row.generation
        if wanted.cancelled.is_set():
            row.deliver("", "cancelled")
            return True
        token = choose(logits, wanted.temperature, wanted.top_p, row.generator)
        row.last = token
        row.made += 1
        if token in self._ends:
            row.deliver(row.text.rest(), "stop")
            return True
        text = row.text.add(token)
        if row.text.stopped:
            row.deliver(text, "stop")
            return True
        if row.made >= wanted.max_tokens:
            row.deliver(text + row.text.rest(), "length")
            return True
        row.deliver(text)
        return False

    @contextlib.contextmanager
    def _variant(self, rows: list[Row]) -> Iterator[dict[str, Any]]:
        """The adapter on, off, or row by row; yields the model's further arguments."""
        names = {row.adapter for row in rows}
        if not self.tuned:
            yield {}
        elif names == {BASE}:
            with self.model.disable_adapter():
                yield {}
        elif len(names) == 1:
            yield {}
        else:
            yield {"adapter_names": [row.adapter for row in rows]}
