"""Problems of models."""

from aiplatform.server.core.errors import Conflict, Invalid
from aiplatform.server.identity.errors import PermissionDenied


class SharedModelsProtected(PermissionDenied):
    """A change of a shared model by a user who is not an administrator."""

    detail = {
        "en": "Only administrators with the global permission * create and change shared "
        "models. Ask one of them.",
        "zh": "共享模型只能由拥有全局权限 * 的管理员创建和修改，请联系管理员。",
    }


class VersionTaken(Conflict):
    """A model version that already exists. Versions are never replaced."""

    code = "model.version_taken"
    title = {"en": "Version taken", "zh": "版本号已被占用"}
    detail = {
        "en": "{name}@{version} already exists. Choose another version, or leave it out to "
        "get the next number.",
        "zh": "{name}@{version} 已存在。请换一个版本号，或不指定以自动编号。",
    }


class ModelNotReady(Conflict):
    """A model whose files are still being imported, or whose import failed."""

    code = "model.not_ready"
    title = {"en": "Model not ready", "zh": "模型未就绪"}
    detail = {
        "en": "The model {model} is {model_status}, not ready. Wait until its import has "
        "completed, or choose another model.",
        "zh": "模型 {model} 的状态为 {model_status}，尚未就绪。请等待导入完成，或选择其他模型。",
    }


class ModelClosed(Conflict):
    """A model that accepts no uploads: it is ready, being imported, or from another source."""

    code = "model.closed"
    title = {"en": "The model accepts no files", "zh": "模型不再接收文件"}
    detail = {"en": "{reason}", "zh": "{reason}"}


class NoFiles(Conflict):
    """An import of an upload that contains no files."""

    code = "model.no_files"
    title = {"en": "No files yet", "zh": "尚无文件"}
    detail = {
        "en": "The model has no files yet. Upload them first, with PUT "
        "models/{{model}}/files/PATH.",
        "zh": "该模型还没有文件，请先通过 PUT models/{{model}}/files/PATH 上传。",
    }


class TooManyFiles(Conflict):
    """A model with more files than the limit, which no ordinary model reaches."""

    code = "model.too_many_files"
    title = {"en": "Too many files", "zh": "文件过多"}
    detail = {
        "en": "A model has at most {limit} files. Leave some out.",
        "zh": "一个模型最多包含 {limit} 个文件，请减少文件。",
    }


class InvalidPath(Invalid):
    """A path of a model file that could be unsafe on a worker."""

    code = "model.invalid_path"
    title = {"en": "Invalid path", "zh": "路径无效"}
    detail = {
        "en": "The path {path!r} can't be used: {reason}.",
        "zh": "路径 {path!r} 无效：{reason}。",
    }


class ModelInUse(Conflict):
    """A model that unfinished tasks or tuned models still need, so that it can't be deleted."""

    code = "model.in_use"
    title = {"en": "Model in use", "zh": "模型正在使用"}
    detail = {
        "en": "The model is in use: {users}. Stop or delete these first.",
        "zh": "模型正在被使用：{users}。请先停止或删除它们。",
    }


class ProjectGone(Conflict):
    """A shared model whose project of origin was deleted.

    The import of a shared model runs on behalf of the project in which it was created.
    """

    code = "model.project_gone"
    title = {"en": "Its project is gone", "zh": "所属项目已删除"}
    detail = {
        "en": "The project in which this shared model was created no longer exists. Delete "
        "the model, and create it again in another project.",
        "zh": "创建该共享模型的项目已不存在。请删除该模型，并在其他项目中重新创建。",
    }
