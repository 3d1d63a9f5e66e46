"""Problems of experiments and runs."""

from aiplatform.server.core.errors import Conflict, Invalid


class ExperimentBusy(Conflict):
    """An experiment with an unfinished task or sweep, which can't be deleted."""

    code = "experiment_busy"
    title = {"en": "The experiment is in use", "zh": "实验正在使用中"}
    detail = {
        "en": "The experiment has an unfinished {resource} ({name}). Cancel it first.",
        "zh": "该实验还有未结束的{resource}（{name}），请先取消。",
    }


class DatasetNotTrainable(Invalid):
    """A dataset without conversations or texts, which supervised fine-tuning needs."""

    code = "dataset_not_learnable"
    title = {"en": "Nothing to learn from", "zh": "数据集无法用于训练"}
    detail = {
        "en": "The rows of {dataset} have the shape {shape}. Training and evaluation need "
        "conversations, instructions with answers, or plain text. Say what the columns "
        "mean with `aiplatform datasets map`.",
        "zh": "{dataset} 的数据形态为 {shape}。训练与评估需要对话、带答案的指令或纯文本数据。"
        "请用 `aiplatform datasets map` 说明各列的含义。",
    }


class PreferencePairsRefused(Invalid):
    """A dataset of preference pairs for supervised fine-tuning.

    The training would learn the chosen answers and ignore the rejected ones.
    """

    code = "dataset_has_preferences"
    title = {"en": "These are preference pairs", "zh": "这是偏好数据"}
    detail = {
        "en": "The rows of {dataset} are preference pairs. The method sft would learn the chosen "
        "answers and ignore the rejected ones. If that is what you want, say so with `{command}`, "
        "which commits a version with the chosen answers as {target}, and train on that version.",
        "zh": "{dataset} 的数据为偏好对。sft 方法只会学习优选回答，而忽略被拒绝的回答。"
        "若确实如此，请运行 `{command}`，"
        "它会提交一个以优选回答作为 {target} 的新版本，再用该版本训练。",
    }


class ExperimentArchived(Conflict):
    """An archived experiment, which starts no runs."""

    code = "experiment_archived"
    title = {"en": "The experiment is archived", "zh": "实验已归档"}
    detail = {
        "en": "The experiment {name!r} is archived and starts no runs. Take it out of the "
        "archive (`aiplatform experiments archive --undo`), or clone it.",
        "zh": "实验 {name!r} 已归档，不能启动运行。请先取消归档（`aiplatform experiments "
        "archive --undo`），或克隆该实验。",
    }


class ExternalRunNotRerunnable(Conflict):
    """A rerun of an external run, of which the platform has neither code nor data."""

    code = "run_executes_elsewhere"
    title = {"en": "The run executes elsewhere", "zh": "该运行在平台之外执行"}
    detail = {
        "en": "The run {name!r} was executed outside the platform, so the platform can't "
        "start it again. Run its program again in its place; client.run() reports a new "
        "run.",
        "zh": "运行 {name!r} 在平台之外执行，平台无法再次启动它。"
        "请在原处重新运行其程序；新的运行由 client.run() 上报。",
    }


class NotRepeatable(Conflict):
    """A rerun whose inputs were changed or deleted since the first run."""

    code = "not_repeatable"
    title = {"en": "The run can't be repeated", "zh": "无法重复该运行"}
    detail = {
        "en": "An input of the run has changed: {input} was {before}, and is now {now}. Start "
        "a new run of the experiment instead.",
        "zh": "该运行读取的 {input} 已发生变化：记录为 {before}，现为 {now}。"
        "请改为启动实验的新运行。",
    }


class ConfigInvalid(Invalid):
    """A config that is invalid after the requested changes."""

    code = "config_invalid"
    title = {"en": "Invalid configuration", "zh": "配置无效"}
    detail = {
        "en": "With these changes the configuration is invalid: {where}: {reason}",
        "zh": "修改后的配置无效：{where}：{reason}",
    }
