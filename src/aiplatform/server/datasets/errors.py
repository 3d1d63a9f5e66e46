"""Problems that the dataset routes answer with."""

from collections.abc import Sequence

from aiplatform.server.core.errors import Conflict, Invalid, NotFound, Problem

MAX_LISTED = 12
"""Maximum number of versions and tags that an error lists."""


class MalformedFile(Invalid):
    """An uploaded file whose content does not match its format; the messages name the place."""

    code = "dataset.malformed"
    title = {"en": "The file can't be read", "zh": "文件无法读取"}
    detail = {"en": "{message}", "zh": "{message}"}


class NoSuchVersion(NotFound):
    """A version or tag that an existing dataset does not have."""

    code = "dataset.no_such_version"
    title = {"en": "No such version", "zh": "版本不存在"}
    detail = {
        "en": "{dataset} has no version {version}. {known}",
        "zh": "数据集 {dataset} 没有版本 {version}。{known}",
    }

    def __init__(self, *, dataset: str, version: str, known: Sequence[str]) -> None:
        """Create the error.

        Args:
            dataset: the name of the dataset.
            version: the label or tag that was not found.
            known: versions and tags that the dataset has, newest first.
        """
        shown = ", ".join(known[:MAX_LISTED]) + (", …" if len(known) > MAX_LISTED else "")
        super().__init__(
            resource="dataset version",
            dataset=dataset,
            version=version[:100],
            known=f"There are: {shown}." if known else "There is none yet.",
            known_zh=f"现有：{shown}。" if known else "目前还没有版本。",
        )


class TooManyRows(Invalid):
    """A file with more rows than ``dataset_versions.row_count``, an INTEGER, can count."""

    code = "dataset.too_many_rows"
    title = {"en": "Too many rows", "zh": "数据行过多"}
    detail = {
        "en": "The file has {rows} rows, but a version has at most {limit}. Split the file.",
        "zh": "文件有 {rows} 行，单个版本最多 {limit} 行，请拆分文件。",
    }


class IdenticalContent(Conflict):
    """A commit of the same rows as the parent: often the wrong file, or a repeated upload."""

    code = "dataset.identical_content"
    title = {"en": "Nothing has changed", "zh": "内容没有变化"}
    detail = {
        "en": "The rows are exactly those of version {version}. {advice}",
        "zh": "数据与版本 {version} 完全相同。{advice}",
    }

    def __init__(self, *, version: str, can_allow: bool) -> None:
        """Create the error.

        Args:
            version: the label of the parent.
            can_allow: True if the request can ask to commit the rows anyway.
        """
        advice, advice_zh = (
            (
                "To commit them all the same, repeat with allow_identical=true.",
                "如仍要提交，请加上 allow_identical=true。",
            )
            if can_allow
            else (
                "The change leaves every row as it was; there is nothing to commit.",
                "该修改未改变任何数据，无需提交。",
            )
        )
        super().__init__(version=version, advice=advice, advice_zh=advice_zh)


class InvalidPartName(Invalid):
    """A part of a split whose dataset would have a name that can't be used in ``name@version``."""

    code = "dataset.part_name_invalid"
    title = {"en": "Invalid name of a part", "zh": "划分后的名称不可用"}
    detail = {
        "en": "The dataset of the part {part!r} would be named {name!r}. A name has at most "
        "{limit} characters, without @, / and control characters. Rename the part, or "
        "choose the name of its dataset with names (--name PART=NAME).",
        "zh": "部分 {part!r} 对应的数据集名称为 {name!r}：名称最多 {limit} 个字符，且不能包含 "
        "@、/ 或控制字符。请换一个部分名，或用 names（--name 部分=名称）指定数据集名称。",
    }


class DatasetInUse(Conflict):
    """A refusal to delete a dataset that unfinished tasks read."""

    code = "dataset.in_use"
    title = {"en": "Dataset in use", "zh": "数据集正在使用"}
    detail = {
        "en": "Unfinished tasks read this dataset: {tasks}. Cancel them, or wait until they "
        "have ended.",
        "zh": "有未结束的任务正在读取该数据集：{tasks}。请先取消或等待其结束。",
    }


class GateFailed(Conflict):
    """A training on a version that breaks a rule of the project's quality gate."""

    code = "dataset.gate_failed"
    title = {"en": "The dataset fails the quality gate", "zh": "数据集未通过质量门禁"}
    detail = {
        "en": "{version} fails the project's quality gate: {reasons}. Fix the dataset, or start, "
        "rerun, retry or sweep it with a reason in override_gate (--override-gate), which needs "
        "the permission datasets:override. A schedule can't: start it by hand with `aiplatform "
        "experiments run --override-gate REASON`.",
        "zh": "{version} 未通过项目的质量门禁：{reasons}。请修复数据集，或在启动、重跑、重试或"
        "超参数搜索时用 override_gate（--override-gate）说明理由（需要 datasets:override 权限）。"
        "定时计划不能越过质量门禁，请用 "
        "`aiplatform experiments run --override-gate 理由` 手动启动。",
    }


class UnknownFinding(Invalid):
    """A limit in a quality gate for a finding that no check reports, so it would never apply."""

    code = "dataset.unknown_finding"
    title = {"en": "No such finding", "zh": "没有该问题代码"}
    detail = {
        "en": "No check reports {finding}. {known}",
        "zh": "没有检查会报告 {finding}。{known}",
    }


class NoSuchFinding(NotFound):
    """A finding that neither a check of the platform nor the report has; usually a typo."""

    code = "dataset.no_such_finding"
    title = {"en": "No such finding", "zh": "没有该问题"}
    detail = {
        "en": "The report has no finding {finding}. {known}",
        "zh": "质量报告中没有问题 {finding}。{known}",
    }


class ReportBeingMade(Conflict):
    """A request for a quality report whose task has not ended yet."""

    code = "dataset.report_being_made"
    title = {"en": "The report is being made", "zh": "质量报告正在生成"}
    detail = {
        "en": "The quality report of {version} is being made (task {task}, {status}). Wait "
        "until that task has ended, and try again.",
        "zh": "{version} 的质量报告正在生成（任务 {task}，状态 {status}）。"
        "请等待该任务结束后重试。",
    }
    headers = {"Retry-After": "2"}


class FindingWithoutRows(Invalid):
    """A finding whose rows were counted but can't be listed."""

    code = "dataset.finding_without_rows"
    title = {"en": "The finding has no list of rows", "zh": "该问题不列出数据行"}
    detail = {
        "en": "The rows of {finding} can't be listed: {reason}",
        "zh": "无法列出 {finding} 涉及的数据行：{reason}",
    }


class StaleParentVersion(Conflict):
    """A commit that lost a race: the dataset got another version meanwhile.

    To build on the older version on purpose, name it in ``parent``.
    """

    code = "dataset.moved"
    title = {"en": "The dataset has a newer version", "zh": "数据集已有新版本"}
    detail = {
        "en": "The current version is now {current}, not {expected}. Repeat the change, or "
        "name the parent version to create a branch.",
        "zh": "当前版本已是 {current}，不再是 {expected}。请重试，或指定 parent 以从该版本分支。",
    }


class VersionNotDeletable(Conflict):
    """A refusal to delete a version that has children, a tag or readers, or is the first one."""

    code = "dataset.version_kept"
    title = {"en": "The version can't be deleted", "zh": "该版本不能删除"}
    detail = {
        "en": "{version} can't be deleted: {reason}.",
        "zh": "无法删除 {version}：{reason}。",
    }


class TagIsVersion(Invalid):
    """A tag named like a version, such as ``v3``, which would be ambiguous."""

    code = "dataset.tag_is_version"
    title = {"en": "Invalid name of a tag", "zh": "标签名不可用"}
    detail = {
        "en": "{tag} is the name of a version. Choose another name for the tag.",
        "zh": "{tag} 是版本名，请换一个标签名。",
    }


class InvalidCondition(Invalid):
    """A condition in a query string that is not valid JSON of a condition."""

    code = "dataset.condition_unreadable"
    title = {"en": "Unreadable condition", "zh": "条件无法识别"}
    detail = {
        "en": "{condition} is not a valid condition ({reason}). Write it as JSON, such as "
        '{{"column": "score", "op": ">=", "value": 0.5}}.',
        "zh": "{condition} 不是有效的条件（{reason}）。请写成 JSON，例如 "
        '{{"column": "score", "op": ">=", "value": 0.5}}。',
    }


class ImportRefused(Invalid):
    """An import from an address that the platform does not connect to."""

    code = "dataset.import_refused"
    title = {"en": "Not fetched from there", "zh": "不允许从该地址导入"}
    detail = {"en": "{reason}", "zh": "不允许访问该地址：{reason}"}


class InvalidReadingOption(Invalid):
    """Contradictory or invalid options for reading a file."""

    code = "dataset.reading_unreadable"
    title = {"en": "Unreadable option", "zh": "读取选项无效"}
    detail = {
        "en": "{option}: {reason}.",
        "zh": "{option} 无效：{reason}。",
    }


class KeyColumnRequired(Invalid):
    """An upload whose mode matches rows by a key column, without the name of that column."""

    code = "dataset.key_needed"
    title = {"en": "Key column needed", "zh": "需要指定键列"}
    detail = {
        "en": "The mode {mode} matches rows by a column. Name the column with key=COLUMN (--key).",
        "zh": "模式 {mode} 需要按某一列匹配数据行，请用 key=列名（--key）指定。",
    }


class BaseModelNotReady(Conflict):
    """A base model whose tokenizer can't count yet, because its files are incomplete."""

    code = "dataset.base_model_not_ready"
    title = {"en": "Base model not ready", "zh": "基础模型未就绪"}
    detail = {
        "en": "The base model {model} is {model_status}, so its tokenizer can't count tokens. "
        "Wait until it is ready, or choose another model.",
        "zh": "基础模型 {model} 的状态为 {model_status}，暂时无法用其分词器统计。"
        "请等待其就绪，或换一个模型。",
    }


class IngestFailed(Problem):
    """An ingest process that failed because of the program or the machine, not the file."""

    status = 500
    code = "dataset.ingest_failed"
    title = {"en": "The file could not be processed", "zh": "文件处理失败"}
    detail = {
        "en": "The program that reads uploads failed ({ending}). Nothing was kept. Ask an "
        "administrator: the log of the server gives the cause.",
        "zh": "读取上传文件的程序异常结束（{ending}）。未保存任何内容。请联系管理员，"
        "原因见服务器日志。",
    }


class ExportFailed(Problem):
    """An export process that failed while the answer was being sent.

    The status was sent already. The connection is closed early, which the client notices.
    """

    code = "dataset.export_failed"
    detail = {
        "en": "The program that exports the rows failed ({ending}). Try again; if that fails "
        "too, ask an administrator to look at the log of the server.",
        "zh": "导出数据的程序异常结束（{ending}）。请重试；若仍失败，请管理员查看服务器日志。",
    }


class InvalidTusHeader(Problem):
    """A tus header that is missing or malformed."""

    status = 400
    code = "upload.invalid_header"
    title = {"en": "Unreadable header", "zh": "请求头无法识别"}
    detail = {
        "en": "The header {header} is missing, or not as tus 1.0 requires. Correct it.",
        "zh": "请求头 {header} 缺失或不符合 tus 1.0 协议，请更正。",
    }


class InvalidTusMetadata(Invalid):
    """Metadata of a resumable upload with invalid values."""

    code = "upload.invalid_metadata"
    title = {"en": "Unreadable metadata", "zh": "上传元数据无效"}
    detail = {
        "en": "Upload-Metadata, {key}: {reason}.",
        "zh": "Upload-Metadata 中的 {key} 无效：{reason}。",
    }


class TusVersion(Problem):
    """A request for another version of the tus protocol than 1.0.0, the only one so far."""

    status = 412
    code = "upload.protocol_version"
    title = {"en": "Unsupported version of tus", "zh": "tus 协议版本不支持"}
    detail = {
        "en": "This server supports tus {version} only. Send Tus-Resumable: {version}.",
        "zh": "服务器只支持 tus {version}，请发送 Tus-Resumable: {version}。",
    }
    headers = {"Tus-Version": "1.0.0"}


class OffsetConflict(Conflict):
    """A piece at the wrong offset: another client sent one meanwhile, or an answer was lost."""

    code = "upload.offset"
    title = {"en": "Wrong offset", "zh": "偏移量不符"}
    detail = {
        "en": "The piece begins at byte {offset}, but {expected} bytes have arrived. Send "
        "HEAD to get the offset, and continue from there.",
        "zh": "该片段从 {offset} 开始，但已收到 {expected} 字节。请用 HEAD 查询后从该处继续。",
    }


class UploadLocked(Problem):
    """A piece that was refused because another request is writing to the same upload."""

    status = 423
    code = "upload.locked"
    title = {"en": "Another request is writing", "zh": "上传正被占用"}
    detail = {
        "en": "Another request is sending a piece of this upload. Wait until it has ended, "
        "and try again.",
        "zh": "另一个请求正在写入该上传，请等待其结束。",
    }


class UploadExpired(Problem):
    """An upload whose bytes were deleted, because no piece arrived for a day."""

    status = 410
    code = "upload.expired"
    title = {"en": "Upload expired", "zh": "上传已过期"}
    detail = {
        "en": "Nothing was sent to this upload for a day, so its bytes were deleted. Begin a "
        "new upload.",
        "zh": "该上传超过一天没有继续，已收到的内容已删除。请重新上传。",
    }


class UploadRefused(Conflict):
    """A piece for an upload whose file was refused already."""

    code = "upload.refused"
    title = {"en": "Upload refused", "zh": "上传已被拒绝"}
    detail = {
        "en": "The file was refused: {reason} Begin a new upload.",
        "zh": "文件已被拒绝：{reason} 请重新上传。",
    }


class UploadIncomplete(Conflict):
    """An upload that can't be read yet, because bytes are missing."""

    code = "upload.incomplete"
    title = {"en": "Bytes are missing", "zh": "上传未完成"}
    detail = {
        "en": "{missing} bytes have not arrived yet. Send them first.",
        "zh": "还有 {missing} 字节未收到，请先发送。",
    }


class ChecksumMismatch(Problem):
    """A piece that was damaged in transit; 460 is the status that tus defines for this."""

    status = 460
    code = "upload.checksum"
    title = {"en": "Damaged in transit", "zh": "传输损坏"}
    detail = {
        "en": "The {algorithm} of the piece differs from the announced one. The piece was not "
        "kept. Send it again.",
        "zh": "该片段的 {algorithm} 与声明不符。未保存该片段，请重新发送。",
    }
