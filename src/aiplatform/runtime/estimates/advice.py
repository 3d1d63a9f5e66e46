"""Advice on training settings, in English and Chinese. All functions here are pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from aiplatform.protocol.trainings import SPECS, SftSpec, TrainingSpec, TuningSpec
from aiplatform.runtime.estimates.batches import Steps

MANY_TRUNCATED = 0.1
MANY_DROPPED = 0.2
MUCH_PADDING = 0.5
FEW_HELD_OUT = 20
UNUSUAL_RATE = 5.0
"""Factor by which a learning rate may differ from the usual rate for its method."""

FULL_TUNING = 0.1
"""Usual learning rate for tuning all weights, relative to that of an adapter."""

MANY_EPOCHS = 10
MANY_EPOCHS_FOR_FEW_ROWS = 4
FEW_ROWS = 500


@dataclass(frozen=True)
class Facts:
    """The figures of an estimate that determine the advice. Memory is in MiB."""

    used: int
    truncated: int
    dropped: int
    total: int
    held_out: int | None
    sequences: int
    """Number of sequences in an epoch; fewer than the rows if a sequence has several rows."""
    mean_tokens: float
    """Mean number of tokens in a row."""
    padding_share: float
    steps: Steps
    sufficient_length: int
    """Maximum length, in tokens, that is enough for 95 % of the rows."""
    longest_context: int
    """Maximum number of tokens that the model can read."""
    memory_mb: float
    available_mb: int | None
    """Memory that the training run may use, if known."""


@dataclass(frozen=True)
class Remark:
    """A remark about a setting, with a suggestion, in two languages."""

    code: str
    message: str
    message_zh: str


def usual_learning_rate(spec: TrainingSpec) -> float:
    """Return the learning rate that is usual for the method and the kind of tuning."""
    usual = float(SPECS[spec.method].model_fields["learning_rate"].default)
    full = isinstance(spec, TuningSpec) and spec.tuning == "full"
    return usual * FULL_TUNING if full else usual


def advise(spec: TrainingSpec, facts: Facts) -> Iterator[Remark]:
    """Yield a remark for each setting that could be improved."""
    yield from _on_rows(spec, facts)
    yield from _on_batches(spec, facts)
    yield from _on_learning(spec, facts)
    if facts.available_mb and facts.memory_mb > facts.available_mb:
        yield Remark(
            "memory_short",
            f"The training probably needs {facts.memory_mb:,.0f} MiB of memory, but it gets "
            f"{facts.available_mb:,} MiB. Use a smaller batch_size and more "
            "gradient_accumulation, a smaller max_length, or more memory.",
            f"训练大约需要 {facts.memory_mb:,.0f} MiB 内存，但只能得到 {facts.available_mb:,} MiB。"
            "请减小 batch_size 并增大 gradient_accumulation，减小 max_length，或使用更多内存。",
        )


def _on_rows(spec: TrainingSpec, facts: Facts) -> Iterator[Remark]:
    if facts.truncated > MANY_TRUNCATED * facts.used:
        limit = min(spec.max_length, facts.longest_context)
        length = min(-(-facts.sufficient_length // 64) * 64, facts.longest_context)
        remedy, remedy_zh = (
            (
                f"Set max_length to {length}, or split long rows.",
                f"请将 max_length 设为 {length}，或拆分长行。",
            )
            if length > limit
            else (
                "The base model can't read longer ones. Split long rows, or choose another model.",
                "基础模型无法读取更长的行。请拆分长行，或选择其他模型。",
            )
        )
        yield Remark(
            "rows_truncated",
            f"{facts.truncated} of {facts.used} rows are cut at {limit} tokens, so the model does "
            f"not learn their ends. {remedy}",
            f"{facts.used} 行中有 {facts.truncated} 行在 {limit} 个 token 处被截断，"
            f"模型学不到被截去的部分。{remedy_zh}",
        )
    if facts.dropped > MANY_DROPPED * facts.total:
        yield Remark(
            "rows_dropped",
            f"{facts.dropped} of {facts.total} rows are dropped. Look at the reasons, and correct "
            "the rows or choose another method.",
            f"{facts.total} 行中有 {facts.dropped} 行被丢弃。"
            "请查看原因，修正这些行或选择其他方法。",
        )
    if facts.held_out is not None and facts.held_out < FEW_HELD_OUT:
        yield Remark(
            "held_out_small",
            f"The held-out dataset has only {facts.held_out} usable rows, so its loss depends on "
            f"chance. Hold out at least {FEW_HELD_OUT} rows.",
            f"留出数据集只有 {facts.held_out} 行可用，其损失受偶然因素影响很大。"
            f"请至少留出 {FEW_HELD_OUT} 行。",
        )


def _on_batches(spec: TrainingSpec, facts: Facts) -> Iterator[Remark]:
    per_step = spec.batch_size * spec.gradient_accumulation * spec.all_processes
    if per_step > facts.sequences:
        unit, unit_zh = ("rows", "行") if facts.sequences == facts.used else ("sequences", "个序列")
        yield Remark(
            "batch_too_large",
            f"A step takes {per_step} {unit}, but there are only {facts.sequences}, so each epoch "
            "is a single step. Lower batch_size or gradient_accumulation.",
            f"每一步需要 {per_step} {unit_zh}，但总共只有 {facts.sequences} {unit_zh}，"
            "因此每个轮次只有一步。请减小 batch_size 或 gradient_accumulation。",
        )
    elif facts.padding_share > MUCH_PADDING and isinstance(spec, SftSpec):
        length = min(spec.max_length, facts.longest_context)
        batch = max(1, round(spec.batch_size * facts.mean_tokens / length))
        rows = round(batch * length / facts.mean_tokens)
        yield Remark(
            "much_padding",
            f"{facts.padding_share:.0%} of the computed tokens are padding, because short and long "
            f"rows share a batch. Set packing to true and batch_size to {batch}: a step learns "
            f"from about {rows} rows, with hardly any padding.",
            f"{facts.padding_share:.0%} 的计算用在填充上，因为长短不一的行在同一批次中。"
            f"请将 packing 设为 true，batch_size 设为 {batch}：每一步约学习 {rows} 行，"
            "几乎没有填充。",
        )
    elif facts.padding_share > MUCH_PADDING and spec.batch_size > 1:
        batch = max(1, spec.batch_size // 4)
        accumulation = spec.gradient_accumulation * (spec.batch_size // batch)
        yield Remark(
            "much_padding",
            f"{facts.padding_share:.0%} of the computed tokens are padding, because short and long "
            f"rows share a batch. Set batch_size to {batch} and gradient_accumulation to "
            f"{accumulation}: a step learns from as many rows, with less padding.",
            f"{facts.padding_share:.0%} 的计算用在填充上，因为长短不一的行在同一批次中。"
            f"请将 batch_size 设为 {batch}，gradient_accumulation 设为 {accumulation}："
            "每一步学习的行数相同，填充更少。",
        )


def _on_learning(spec: TrainingSpec, facts: Facts) -> Iterator[Remark]:
    usual = usual_learning_rate(spec)
    if not usual / UNUSUAL_RATE <= spec.learning_rate <= usual * UNUSUAL_RATE:
        high = spec.learning_rate > usual
        yield Remark(
            "learning_rate_unusual",
            f"The learning_rate {spec.learning_rate:g} is {'high' if high else 'low'} for this "
            f"method; {usual:g} is usual. "
            + (
                "The training may diverge."
                if high
                else "The model may learn hardly anything in these steps."
            ),
            f"对这种方法来说，learning_rate {spec.learning_rate:g} 偏{'高' if high else '低'}，"
            f"通常为 {usual:g}。"
            + ("训练可能发散。" if high else "模型在这些步数内可能几乎学不到东西。"),
        )
    epochs = facts.steps.epochs
    most = MANY_EPOCHS_FOR_FEW_ROWS if facts.used < FEW_ROWS else MANY_EPOCHS
    if epochs > most:
        yield Remark(
            "many_epochs",
            f"The model reads each of the {facts.used} rows {epochs:.1f} times, and may learn them "
            f"by heart. Use at most {most} epochs, or add rows; a held-out dataset shows when to "
            "stop.",
            f"模型会把 {facts.used} 行中的每一行读 {epochs:.1f} 遍，可能只是死记硬背。"
            f"请最多使用 {most} 个轮次，或增加数据；留出数据集可以显示何时应停止。",
        )
