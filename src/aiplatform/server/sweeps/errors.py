"""Problems of sweeps."""

from aiplatform.server.core.errors import Conflict, Invalid


class SweepEnded(Conflict):
    """A sweep that has ended and can't be cancelled."""

    code = "sweep_ended"
    title = {"en": "The sweep has ended", "zh": "超参数搜索已结束"}
    detail = {
        "en": "The sweep has already ended ({sweep_status}). Create a new one.",
        "zh": "该超参数搜索已结束（{sweep_status}），请创建新的搜索。",
    }


class GridTooLarge(Invalid):
    """A grid with more points than the limit."""

    code = "grid_too_large"
    title = {"en": "The grid is too large", "zh": "网格过大"}
    detail = {
        "en": "The grid has {size} points, but at most {limit} are tried. Give fewer values, "
        "or use the method random or tpe.",
        "zh": "网格共有 {size} 个点，最多尝试 {limit} 个。请减少取值，或改用 random、tpe。",
    }


class InvalidSweepValue(Invalid):
    """A value of a parameter with which every trial would fail."""

    code = "swept_value_refused"
    title = {"en": "A value can't be tried", "zh": "参数取值无效"}
    detail = {
        "en": "The value {value} of {parameter} can't be tried: {reason} Take it out of the "
        "values, or correct it.",
        "zh": "参数 {parameter} 的取值 {value} 无法尝试：{reason}请移除或更正该值。",
    }


class EvalDatasetMissing(Invalid):
    """An objective or pruning figure that the experiment's runs never measure."""

    code = "nothing_held_out"
    title = {"en": "No eval_dataset", "zh": "缺少评估数据集"}
    detail = {
        "en": "The experiment {experiment} has no eval_dataset, so its runs never measure "
        "{figure}. Set an eval_dataset, or use the objective loss (and prune by the "
        "metric loss).",
        "zh": "实验 {experiment} 没有 eval_dataset，其运行不会产生 {figure}。请为实验设置 "
        "eval_dataset，或使用 loss 作为目标（剪枝则使用指标 loss）。",
    }


class EvalStepsMissing(Invalid):
    """A pruning figure that runs measure only at their end, when there is nothing left to prune."""

    code = "never_compared"
    title = {"en": "No eval_steps", "zh": "缺少 eval_steps"}
    detail = {
        "en": "Pruning uses {series}, but {experiment} has no eval_steps, so it is measured "
        "only at the end of a run. Set eval_steps of the experiment to {min_steps} or "
        "less, or prune by the metric loss.",
        "zh": "剪枝依据 {series}，但实验 {experiment} 没有设置 eval_steps，只在运行结束时才评"
        "估。请将实验的 eval_steps 设为不超过 {min_steps}，或改用指标 loss 剪枝。",
    }


class NoBestModel(Conflict):
    """A sweep without a model that could be registered."""

    code = "no_best_model"
    title = {"en": "No best model", "zh": "没有最佳模型"}
    detail = {
        "en": "No trial of {sweep} has succeeded yet, or the model of the best trial was "
        "deleted. Wait for a trial to succeed, or restore the model.",
        "zh": "{sweep} 还没有成功的试验，或其最佳试验的模型已被删除。请等待试验成功，或恢复模型。",
    }
