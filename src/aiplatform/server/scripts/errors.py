"""Problems that the routes of code bundles and scripts answer with."""

from aiplatform.server.core.errors import Conflict, Invalid


class ScriptsNotAllowed(Conflict):
    """A script on a platform where no administrator has allowed users to run commands."""

    code = "script.not_allowed"
    title = {"en": "Scripts are not allowed", "zh": "未允许运行脚本"}
    detail = {
        "en": "This platform does not allow scripts. An administrator can allow them with "
        "AIPLATFORM_SCRIPTS=true, for the API and for the workers that should run them.",
        "zh": "本平台未允许运行脚本。管理员可在 API 和相应的 worker 上设置 "
        "AIPLATFORM_SCRIPTS=true 开启。",
    }


class InvalidBundle(Invalid):
    """An archive that is not safe to unpack."""

    code = "script.invalid_bundle"
    title = {"en": "Not a code bundle", "zh": "代码包无效"}
    detail = {
        "en": "The file is not a valid code bundle: {reason}. Send a .tar.gz with regular "
        "files only.",
        "zh": "文件不是有效的代码包：{reason}。请上传只包含普通文件的 .tar.gz。",
    }


class BundleInUse(Conflict):
    """A refusal to delete a bundle that an unfinished task needs."""

    code = "script.bundle_in_use"
    title = {"en": "Code in use", "zh": "代码正在使用"}
    detail = {
        "en": "The task {task} is using this code. Wait until it has ended, or cancel it.",
        "zh": "任务 {task} 正在或将要运行这份代码。请等待其结束或先取消。",
    }
