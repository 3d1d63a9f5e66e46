"""What can go wrong with experiments."""

from aiplatform.server.core.errors import Conflict, Invalid


class ExperimentBusy(Conflict):
    """Its runs would be left without it."""

    code = "experiment_busy"
    title = {"en": "A task is active", "zh": "存在进行中的任务"}
    detail = {
        "en": "The experiment has a task that has not ended ({run}). Cancel it first.",
        "zh": "该实验还有未结束的任务（{run}），请先取消。",
    }


class NothingToLearn(Invalid):
    """Supervised fine-tuning needs conversations or texts."""

    code = "dataset_not_learnable"
    title = {"en": "Nothing to learn from", "zh": "数据集无法用于训练"}
    detail = {
        "en": "The rows of {dataset} have the shape {shape}. Training and evaluation read "
        "conversations, instructions with answers, or plain text.",
        "zh": "{dataset} 的数据形态为 {shape}。训练与评估需要对话、带答案的指令或纯文本数据。",
    }
