"""Errors in the content of files, with messages in English and Chinese that give the position.

Every reason has one entry in :data:`REASONS`. Code that finds an error raises
``MalformedData("reason", line=…, found=…)`` and never writes its own message.
"""

from typing import Any, NamedTuple, Self


class Words(NamedTuple):
    """A text in English and Chinese."""

    en: str
    zh: str


CODE = "dataset.malformed"
"""Error code of every :class:`MalformedData` in API responses."""

REASONS: dict[str, Words] = {
    "file_empty": Words("the file is empty", "文件是空的"),
    "no_rows": Words("the file contains no rows", "文件中没有任何数据行"),
    "archive": Words(
        "this is {kind}, not a data file; unpack it and upload what is inside",
        "这是{kind}，不是数据文件；请解压后上传其中的文件",
    ),
    "nested_compression": Words(
        "the file is compressed twice; compress it once", "文件被压缩了两次；请只压缩一次"
    ),
    "compression_broken": Words(
        "the {compression} data is damaged or cut off ({detail})",
        "{compression} 数据已损坏或不完整（{detail}）",
    ),
    "bomb": Words(
        "the file has {packed} bytes and unpacks to more than {limit}, so it was "
        "refused as a decompression bomb. If the data is real, split the file, or ask "
        "an administrator to raise AIPLATFORM_INGEST_RATIO (now {ratio})",
        "文件大小为 {packed} 字节，解压后超过 {limit} 字节，疑似解压炸弹，已拒绝。如果数据正常，"
        "请拆分文件，或请管理员调高 AIPLATFORM_INGEST_RATIO（当前为 {ratio}）",
    ),
    "too_large": Words(
        "the unpacked data is larger than {limit} bytes; split the file, or ask an administrator "
        "to raise AIPLATFORM_INGEST_MAX_UNPACKED_BYTES",
        "解压后的数据超过 {limit} 字节；请拆分文件，或请管理员调高 "
        "AIPLATFORM_INGEST_MAX_UNPACKED_BYTES",
    ),
    "memory": Words(
        "reading this file needs more memory than allowed ({limit} MiB); are single "
        "values extremely large? Write it in smaller row groups or batches, or ask an "
        "administrator to raise AIPLATFORM_INGEST_MEMORY_MB",
        "读取该文件所需内存超出限制（{limit} MiB）；是否存在极大的单个值？"
        "请使用更小的行组或批次写入，或请管理员调高 AIPLATFORM_INGEST_MEMORY_MB",
    ),
    "cpu_time": Words(
        "reading this file needs more than {limit} seconds of CPU time per 256 MiB; "
        "split the file, or ask an administrator to raise AIPLATFORM_INGEST_CPU_SECONDS",
        "读取该文件所需 CPU 时间超过每 256 MiB {limit} 秒；请拆分文件，或请管理员调高 "
        "AIPLATFORM_INGEST_CPU_SECONDS",
    ),
    "values_too_many": Words(
        "“{column}” contains more than {limit} nested values in {rows} rows, so the file was "
        "refused as a decompression bomb",
        "“{column}”的 {rows} 行中嵌套值超过 {limit} 个，疑似解压炸弹，已拒绝",
    ),
    "encoding_invalid": Words(
        "not valid {encoding} (byte 0x{value:02x}); save the file as UTF-8",
        "不是有效的 {encoding} 文本（字节 0x{value:02x}）；请将文件另存为 UTF-8",
    ),
    "encoding_unknown": Words(
        "the text is not UTF-8, UTF-16 or GB18030 (first invalid byte 0x{value:02x}); save the "
        "file as UTF-8, or specify its encoding",
        "不是 UTF-8、UTF-16 或 GB18030 编码（首个异常字节 0x{value:02x}）；"
        "请将文件另存为 UTF-8，或指定其编码",
    ),
    "nul_byte": Words(
        "there is a NUL byte: this is binary data, not text",
        "出现 NUL 字节：这是二进制数据，不是文本",
    ),
    "line_too_long": Words(
        "a single row is longer than {limit} bytes", "单行数据超过 {limit} 字节"
    ),
    "json_invalid": Words(
        "invalid JSON at column {column}: {detail}", "第 {column} 列处 JSON 格式错误：{detail}"
    ),
    "json_unclosed": Words(
        "the JSON value that begins here never ends; is the file incomplete?",
        "从此处开始的 JSON 没有结束；文件是否不完整？",
    ),
    "json_separator": Words(
        "expected {expected} between values, found {found}",
        "数据之间应为 {expected}，实际为 {found}",
    ),
    "json_not_object": Words(
        'a row must be an object such as {{"text": "…"}}, this is {found}',
        '每一行必须是对象，例如 {{"text": "…"}}，此处是{found}',
    ),
    "json_surrogate": Words(
        "an unpaired surrogate (\\ud800–\\udfff), which is not a character; remove it",
        "含有不成对的代理字符（\\ud800–\\udfff），不是有效字符；请去掉",
    ),
    "json_too_deep": Words("nested more than {limit} levels deep", "嵌套层数超过 {limit} 层"),
    "json_wrapped": Words(
        'the rows are wrapped in an object under "{key}"; upload only the list: [{{…}}, {{…}}]',
        '数据行被包在对象的 "{key}" 字段中；请只上传列表本身：[{{…}}, {{…}}]',
    ),
    "csv_ragged": Words(
        "the row has {found} fields, but the header has {expected}",
        "该行有 {found} 个字段，而表头有 {expected} 个",
    ),
    "csv_quote": Words(
        "a quoted field is broken or never closed ({detail})",
        "带引号的字段有误或没有结束（{detail}）",
    ),
    "column_twice": Words("the column “{name}” appears twice", "列“{name}”出现了两次"),
    "column_name": Words(
        "a column name is longer than {limit} characters or contains a NUL character",
        "列名超过 {limit} 个字符，或包含 NUL 字符",
    ),
    "columns_too_many": Words(
        "there are {found} columns; at most {limit} are supported",
        "共有 {found} 列；最多支持 {limit} 列",
    ),
    "type_unfit": Words(
        "“{column}” should have the type {expected}, but this value does not fit: "
        "{value}. Correct it, or choose another type",
        "“{column}”被指定为 {expected} 类型，但该值不符合：{value}。请更正该值，或指定其他类型",
    ),
    "type_kept_unfit": Words(
        "“{column}” has had the type {expected} since an earlier version, but this "
        "value does not fit: {value}. Correct the value, or give the column another "
        "type (types; --type COLUMN=text)",
        "“{column}”在较早的版本中被指定为 {expected} 类型，但该值无法这样读取：{value}。"
        "请更正该值，或为此列指定其他类型（types；--type COLUMN=text）",
    ),
    "type_of_content": Words(
        "“{column}” can't have the type {expected}: in rows of the shape {shape} it is {needed}",
        "“{column}”不能是 {expected} 类型：在 {shape} 形态的数据中，该列的类型是 {needed}",
    ),
    "columns_none": Words("there are no columns", "没有任何列"),
    "arrow_invalid": Words(
        "not a valid Arrow IPC file or stream ({detail})",
        "不是有效的 Arrow IPC 文件或流（{detail}）",
    ),
    "parquet_invalid": Words(
        "not a readable Parquet file ({detail})", "不是可读取的 Parquet 文件（{detail}）"
    ),
    "format_mismatch": Words(
        "the format was given as {claimed}, but the file is {found}",
        "指定的格式为 {claimed}，但文件实际是 {found}",
    ),
    "binary_value": Words(
        "“{column}” contains binary data, not text; leave the column out",
        "“{column}”含有二进制数据，不是文本；请去掉该列",
    ),
    "type_unknown": Words(
        "“{column}” has the type {found}, which can't be written as JSON; convert it or "
        "leave it out",
        "“{column}”的类型 {found} 无法用 JSON 表示；请转换类型或去掉该列",
    ),
    "text_expected": Words(
        "“{column}” must be text, this is {found}", "“{column}”应为文本，此处是{found}"
    ),
    "boolean_expected": Words(
        "“{column}” must be true (a good answer) or false (a bad one), this is {value}",
        "“{column}”应为 true（好的回答）或 false（差的回答），此处是 {value}",
    ),
    "messages_not_list": Words(
        "“{column}” must be a list of messages, this is {found}",
        "“{column}”应为消息列表，此处是{found}",
    ),
    "message_not_object": Words(
        "message {index} of “{column}” must be an object, this is {found}",
        "“{column}”的第 {index} 条消息应为对象，此处是{found}",
    ),
    "role_unknown": Words(
        "message {index} of “{column}” has the {key} {role}; supported are {known}",
        "“{column}”的第 {index} 条消息的 {key} 为 {role}；支持的值：{known}",
    ),
    "content_not_text": Words(
        "message {index} of “{column}”: “{key}” must be text, this is {found}",
        "“{column}”的第 {index} 条消息的“{key}”应为文本，此处是{found}",
    ),
    "column_unknown": Words("there is no column “{column}”", "没有名为“{column}”的列"),
    "condition_type": Words(
        "“{column}” can't be compared with {value} by {op}: its values have another type",
        "“{column}”无法用 {op} 与 {value} 比较：列中值的类型不同",
    ),
    "condition_has": Words(
        "“{column}” has no tags: use `contains` for text in a column",
        "“{column}”没有标签：要查找列中的文本，请使用 `contains`",
    ),
    "key_type": Words(
        "“{column}” can't be a key: it must contain text, integers or booleans of one type",
        "“{column}”不能作为键：键列应为同一类型的文本、整数或布尔值",
    ),
    "key_missing": Words(
        "some rows have no value in the key column “{column}”", "部分行缺少键列“{column}”的值"
    ),
    "key_twice": Words(
        "two rows have the key {value} in “{column}”", "键列“{column}”中 {value} 出现了两次"
    ),
    "row_unknown": Words(
        "there is no row {position}: the version has {rows} rows, counted from 0",
        "没有第 {position} 行：该版本共有 {rows} 行，从 0 开始编号",
    ),
    "shape_differs": Words(
        "the new rows have the shape {given}, but the dataset has the shape {existing}",
        "新数据的形态为 {given}，而数据集的形态为 {existing}",
    ),
    "content_kind": Words(
        "“{column}” is a column that training reads, and has the type {existing}; in the new "
        "rows it has another type",
        "“{column}”是训练读取的列，其类型为 {existing}；新数据中该列的类型不同",
    ),
    "fix_unknown": Words(
        "“{finding}” has no fix “{action}”; the report lists the fixes of each finding",
        "“{finding}”没有“{action}”这种修复方式；质量报告列出了每个问题可用的修复",
    ),
    "fix_needs_model": Words(
        "“{finding}” needs the tokenizer of a base model: specify the base model",
        "“{finding}”需要使用基础模型的分词器：请指定基础模型",
    ),
    "no_rows_left": Words("no rows would be left", "操作后将没有任何数据行"),
    "split_empty": Words(
        "a part would have no rows: too few questions or groups for these fractions. Choose other "
        "fractions, or split by row (`by`: `row`, --by-row), which lets a question occur in both",
        "某一部分将没有任何数据行：不同的问题或分组太少，无法按该比例划分。"
        "请调整比例，或按行划分（`by` 为 `row`，即 --by-row），此时同一问题可能出现在两侧",
    ),
    "too_many_bad": Words(
        "{bad} of {rows} rows can't be read, more than the {limit} that may be quarantined; "
        "the first is {first}",
        "{rows} 行中有 {bad} 行无法读取，超过允许隔离的 {limit}；第一处：{first}",
    ),
    "option_misplaced": Words("“{option}” does not apply to {found}", "“{option}”不适用于 {found}"),
    "map_taken": Words(
        "“{column}” can't be mapped to “{target}”: there is already a column with that name",
        "“{column}”不能映射为“{target}”：已有同名的列",
    ),
    "map_no_shape": Words(
        "the mapped columns {targets} form no known shape: a column is missing, or its "
        "values have another type; the columns of the file are {columns}",
        "映射后的列 {targets} 无法构成任何已知的数据形态：缺少列，或列中的值与形态不符；"
        "文件中的列：{columns}",
    ),
    "number_inexact": Words(
        "“{column}” contains integers that are too large to be stored exactly beside "
        "fractions; convert the column to text",
        "“{column}”含有过大的整数，与小数同列会损失精度；请将该列改为文本",
    ),
}


class MalformedData(ValueError):
    """The content of a file is not valid.

    Attributes:
        code: Always :data:`CODE`.
        reason: A key of :data:`REASONS`.
        message: One English sentence that begins with the position.
        message_zh: The same in Chinese.
        line: 1-based line of the unpacked text, if it has lines.
        row: 1-based row, if the format has no lines.
        byte: 0-based offset into the unpacked file.
        file: The name of the file, if several are read as one.
    """

    code = CODE

    def __init__(
        self,
        reason: str,
        *,
        line: int | None = None,
        row: int | None = None,
        byte: int | None = None,
        **params: Any,
    ) -> None:
        self.reason = reason
        self.line = line
        self.row = row
        self.byte = byte
        self.file: str | None = None
        words = REASONS[reason]
        location = _location(line, row, byte)
        self.message = location.en + words.en.format(**{k: _pick(v, 0) for k, v in params.items()})
        self.message_zh = location.zh + words.zh.format(
            **{k: _pick(v, 1) for k, v in params.items()}
        )
        super().__init__(self.message)

    def with_file(self, file: str) -> Self:
        """Add the name of the file to the message, unless it is there already; return the error."""
        if self.file is None:
            self.file = file
            self.message = f"{file}: {self.message}"
            self.message_zh = f"{file}：{self.message_zh}"
            self.args = (self.message,)
        return self

    @property
    def words(self) -> Words:
        """The message in both languages."""
        return Words(self.message, self.message_zh)

    @property
    def concerns_one_row(self) -> bool:
        """True if the error belongs to a single row."""
        return self.line is not None or self.row is not None

    def as_dict(self) -> dict[str, Any]:
        """Return the error as a JSON object; absent positions are left out."""
        locations = {"file": self.file, "line": self.line, "row": self.row, "byte": self.byte}
        return {
            "code": self.code,
            "reason": self.reason,
            "message": self.message,
            "message_zh": self.message_zh,
            **{key: value for key, value in locations.items() if value is not None},
        }


def type_words(value: object) -> Words:
    """Return the name of a JSON value's type in both languages."""
    match value:
        case None:
            return Words("null", "null")
        case bool():
            return Words("a boolean", "布尔值")
        case int() | float():
            return Words("a number", "数字")
        case str():
            return Words("text", "文本")
        case list() | tuple():
            return Words("a list", "列表")
        case dict():
            return Words("an object", "对象")
    return Words(type(value).__name__, type(value).__name__)


def _location(line: int | None, row: int | None, byte: int | None) -> Words:
    english, chinese = [], []
    if line is not None:
        english.append(f"line {line}")
        chinese.append(f"第 {line} 行")
    if row is not None:
        english.append(f"row {row}")
        chinese.append(f"第 {row} 条数据")
    if byte is not None:
        english.append(f"byte {byte}")
        chinese.append(f"第 {byte} 字节")
    if not english:
        return Words("", "")
    return Words(", ".join(english) + ": ", "，".join(chinese) + "：")


def _pick(value: Any, language: int) -> Any:
    return value[language] if isinstance(value, Words) else value
