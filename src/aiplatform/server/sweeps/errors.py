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


class NoBestModel(Conflict):
    """There is nothing that could be registered."""

    code = "no_best_model"
    title = {"en": "No best model", "zh": "没有最佳模型"}
    detail = {
        "en": "No trial of {sweep} has succeeded yet, or the model of its best one was deleted.",
        "zh": "{sweep} 还没有成功的试验，或其最佳试验的模型已被删除。",
    }
