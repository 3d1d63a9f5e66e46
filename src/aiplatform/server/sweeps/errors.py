"""What can go wrong with sweeps."""

from aiplatform.server.core.errors import Conflict, Invalid


class SweepEnded(Conflict):
    """There is nothing left to be cancelled."""

    code = "sweep_ended"
    title = {"en": "The sweep has ended", "zh": "调参已结束"}
    detail = {
        "en": "The sweep has ended already ({sweep_status}).",
        "zh": "该调参已结束（{sweep_status}）。",
    }


class GridTooLarge(Invalid):
    """Nobody waits for that many trials."""

    code = "grid_too_large"
    title = {"en": "The grid is too large", "zh": "网格过大"}
    detail = {
        "en": "The grid has {size} points; at most {limit} are tried. Give fewer values, or use "
        "random or tpe.",
        "zh": "网格共有 {size} 个点，最多尝试 {limit} 个。请减少取值，或改用 random、tpe。",
    }


class SweptValueRefused(Invalid):
    """Every trial with this value would fail."""

    code = "swept_value_refused"
    title = {"en": "A value can't be tried", "zh": "参数取值无效"}
    detail = {
        "en": "The value {value} of {parameter} can't be tried: {reason} Take it out of the "
        "values, or correct it.",
        "zh": "参数 {parameter} 的取值 {value} 无法尝试：{reason}请移除或更正该值。",
    }


class NothingHeldOut(Invalid):
    """The runs would measure nothing that the search could go by."""

    code = "nothing_held_out"
    title = {"en": "No eval_dataset", "zh": "缺少评估数据集"}
    detail = {
        "en": "The experiment {experiment} has no eval_dataset, so its runs never measure "
        "{figure}. Give the experiment an eval_dataset, or use --objective loss (and for pruning, "
        "the series loss).",
        "zh": "实验 {experiment} 没有 eval_dataset，其运行不会产生 {figure}。请为实验设置 "
        "eval_dataset，或使用 --objective loss（剪枝则使用 loss 序列）。",
    }


class NeverCompared(Invalid):
    """The runs would measure what prunes them at their end only, when there is nothing to prune."""

    code = "never_compared"
    title = {"en": "No eval_steps", "zh": "缺少 eval_steps"}
    detail = {
        "en": "Pruning goes by {series}, but the config of {experiment} has no eval_steps, so that "
        "is measured at the end of a run only. Set eval_steps to {min_steps} or less, or prune by "
        "the series loss.",
        "zh": "剪枝依据 {series}，但实验 {experiment} 的配置没有 eval_steps，只在运行结束时才评估。"
        "请将 eval_steps 设为不超过 {min_steps}，或改用 loss 序列剪枝。",
    }


class NoBestModel(Conflict):
    """There is nothing that could be registered."""

    code = "no_best_model"
    title = {"en": "No best model", "zh": "没有最佳模型"}
    detail = {
        "en": "No trial of {sweep} has succeeded yet, or the model of its best one was deleted.",
        "zh": "{sweep} 还没有成功的试验，或其最佳试验的模型已被删除。",
    }
