"""What can go wrong with datasets."""

from aiplatform.server.core.errors import Conflict, Invalid, Problem


class MalformedFile(Invalid):
    """The file is not what it claims to be; the texts name the place."""

    code = "dataset.malformed"
    title = {"en": "The file can't be read", "zh": "文件无法读取"}
    detail = {"en": "{message}", "zh": "{message}"}


class TooManyRows(Invalid):
    """The contract counts rows in an INTEGER."""

    code = "dataset.too_many_rows"
    title = {"en": "Too many rows", "zh": "数据行过多"}
    detail = {
        "en": "The file has {rows} rows; a version holds at most {limit}. Split the file.",
        "zh": "文件有 {rows} 行，单个版本最多 {limit} 行，请拆分文件。",
    }


class IdenticalContent(Conflict):
    """Most often the wrong file was picked, or an upload was repeated."""

    code = "dataset.identical_content"
    title = {"en": "Nothing has changed", "zh": "内容没有变化"}
    detail = {
        "en": "The rows are exactly those of the current version {version}. To commit them all the "
        "same, repeat with allow_identical=true.",
        "zh": "数据与当前版本 {version} 完全相同。如仍要提交，请加上 allow_identical=true。",
    }


class DatasetInUse(Conflict):
    """Work that reads the dataset would lose its input."""

    code = "dataset.in_use"
    title = {"en": "Dataset in use", "zh": "数据集正在使用"}
    detail = {
        "en": "Tasks that have not ended read this dataset: {tasks}. Cancel them or wait for them.",
        "zh": "有未结束的任务正在读取该数据集：{tasks}。请先取消或等待其结束。",
    }


class BaseModelNotReady(Conflict):
    """Its tokenizer can't count while its files are still coming in."""

    code = "dataset.base_model_not_ready"
    title = {"en": "Base model not ready", "zh": "基础模型未就绪"}
    detail = {
        "en": "The base model {model} is {model_status}, so its tokenizer can't count tokens yet.",
        "zh": "基础模型 {model} 的状态为 {model_status}，暂时无法用其分词器统计。",
    }


class IngestFailed(Problem):
    """A fault of the program or of the machine, not of the file."""

    status = 500
    code = "dataset.ingest_failed"
    title = {"en": "The file could not be processed", "zh": "文件处理失败"}
    detail = {
        "en": "The program that reads uploads ended with {ending}. Nothing was kept; the server's "
        "log has the cause.",
        "zh": "读取上传文件的程序异常结束（{ending}）。未保存任何内容，原因见服务器日志。",
    }


class ExportFailed(Problem):
    """Raised when the answer has begun: it is broken off, which the client notices."""

    code = "dataset.export_failed"
    detail = {
        "en": "The program that writes the rows ended with {ending}.",
        "zh": "导出数据的程序异常结束（{ending}）。",
    }
