"""Reports from a running training job (metrics, progress), and its reaction to a stop."""

import math
import re
import sys
import time
from typing import Any

from transformers import TrainerCallback

from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.training import ranks

PROGRESS_INTERVAL = 0.5
"""Minimum number of seconds between two progress reports."""

PROGRESS_AFTER_TRAINING = 0.95
"""Progress (0 to 1) reported after the last step; merging and saving follow."""


_SERIES = {
    "rewards/chosen": "chosen_reward",
    "rewards/rejected": "rejected_reward",
    "rewards/accuracies": "reward_accuracy",
    "rewards/margins": "reward_margin",
    "logps/chosen": "chosen_logp",
    "logps/rejected": "rejected_logp",
    "accuracy": "reward_accuracy",
    "margin": "reward_margin",
    "mean_reward": "mean_reward",
    "reward": "mean_reward",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "equal_rewards_share",
    "completions/mean_length": "answer_tokens",
    "completions/clipped_ratio": "cut_answers_share",
    "entropy": "entropy",
    "nll_loss": "chosen_loss",
    "kl": "kl",
}
"""Series names, keyed by TRL's names for the same values."""

_HELD_OUT = {"eval_loss": "held-out loss", "eval_mean_reward": "held-out mean reward"}
"""The held-out metrics that are printed, with their descriptions."""

_ONE_REWARD = re.compile(r"rewards/(\w+)/mean")
"""Pattern of TRL's name for the mean value of a single reward."""


def series_name(logged: str) -> str | None:
    """Return the series name for a value that TRL logs, or None for unknown values."""
    if one := _ONE_REWARD.fullmatch(logged):
        return f"reward_{one[1]}"
    return _SERIES.get(logged)


class ReportingCallback(TrainerCallback):  # type: ignore[misc]
    """A callback that reports metrics and progress. Times exclude evaluations and checkpoints."""

    def __init__(self, report: Reporter) -> None:
        self.report = report
        self.seconds = 0.0
        """Seconds spent in this attempt's steps."""
        self.steps = 0
        self._since = 0.0
        self._logged = (0.0, 0, 0)
        """Seconds, steps and tokens of this attempt when metrics were last sent."""
        self._progressed = 0.0

    @property
    def seconds_per_step(self) -> float:
        """The mean duration of a step in this attempt, in seconds."""
        return self.seconds / self.steps if self.steps else 0.0

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Start the clock, at step 0 or at the checkpoint's step."""
        self._since = time.monotonic()
        self._logged = (0.0, 0, state.num_input_tokens_seen)

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Report progress. After a stop request, save a checkpoint and end training."""
        now = time.monotonic()
        self.steps += 1
        self.seconds += now - self._since
        self._since = now
        if state.global_step == state.max_steps or now - self._progressed >= PROGRESS_INTERVAL:
            self._progressed = now
            self.report.progress(
                PROGRESS_AFTER_TRAINING * state.global_step / state.max_steps,
                step=state.global_step,
                total_steps=state.max_steps,
                seconds_left=(state.max_steps - state.global_step) * self.seconds_per_step,
            )
        # All ranks must stop at the same step, or those that continue would wait forever.
        if ranks.any_rank(self.report.stop.requested):
            self.report.stop.requested = True
            control.should_save = True
            control.should_evaluate = False
            control.should_training_stop = True

    def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
        """Report the values that the trainer logs; for training steps, add the speed."""
        logs = logs or {}
        if any(name.startswith("eval_") for name in logs):
            self._since = time.monotonic()
            self.report.metrics(state.global_step, {k: v for k, v in logs.items() if k != "epoch"})
            for name, words in _HELD_OUT.items():
                if name in logs:
                    self._print(state, f"{words} {logs[name]:.4f}")
        elif "loss" in logs:
            self._report_steps(state, logs)

    def on_save(self, _args: Any, _state: Any, _control: Any, **_: Any) -> None:
        """Restart the clock, so that the time of the next step excludes saving the checkpoint."""
        self._since = time.monotonic()

    def _report_steps(self, state: Any, logs: dict[str, Any]) -> None:
        seconds, steps, tokens = self._logged
        seconds, steps = self.seconds - seconds, self.steps - steps
        tokens = state.num_input_tokens_seen - tokens
        self._logged = (self.seconds, self.steps, state.num_input_tokens_seen)
        values = {
            "loss": logs["loss"],
            "learning_rate": logs["learning_rate"],
            "epoch": state.epoch or 0.0,
            "seconds_per_step": seconds / steps,
            "tokens_per_second": tokens / max(seconds, 1e-9),
        }
        values |= {
            name: float(value)
            for key, value in logs.items()
            if (name := series_name(key)) is not None
        }
        if "grad_norm" in logs:
            values["grad_norm"] = float(logs["grad_norm"])
        self.report.metrics(state.global_step, values)
        reward = f", mean reward {logs['reward']:.4f}" if "reward" in logs else ""
        self._print(state, f"loss {logs['loss']:.4f}{reward}, {seconds / steps:.2f} s a step")
        if not math.isfinite(logs["loss"]):
            raise JobError(
                f"The loss became {logs['loss']} at step {state.global_step}: the training "
                "diverged. Lower the learning_rate, or set precision to fp32."
            )

    def _print(self, state: Any, what: str) -> None:
        if state.is_world_process_zero:
            sys.stdout.write(f"step {state.global_step}/{state.max_steps}: {what}\n")
