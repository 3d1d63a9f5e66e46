"""Descriptions of the patterns that strings in requests and specs must match."""

from typing import NamedTuple

from aiplatform.protocol.names import NAME_PATTERN


class Expectation(NamedTuple):
    """The description of an expected value, worded to follow "must be" or, in Chinese, 应为."""

    en: str
    zh: str


PATTERN_DESCRIPTIONS: dict[str, Expectation] = {
    r"^[\x21-\x7e]+$": Expectation("ASCII characters without spaces", "不含空格的 ASCII 字符"),
    r"^[A-Za-z0-9_-]{43}$": Expectation(
        "43 letters, digits, '-' and '_': the SHA-256 of the verifier in base64url",
        "43 个字母、数字、“-”和“_”：即校验码 SHA-256 的 base64url 形式",
    ),
    r"^[A-Za-z0-9][A-Za-z0-9._-]*$": Expectation(
        "letters, digits, '.', '_' and '-', beginning with a letter or a digit",
        "字母、数字、“.”、“_”和“-”，并以字母或数字开头",
    ),
    NAME_PATTERN: Expectation(
        "letters, digits, Chinese characters, '.', '_' and '-', beginning with a letter, a digit "
        "or a Chinese character",
        "字母、数字、汉字、“.”、“_”和“-”，并以字母、数字或汉字开头",
    ),
    r"^[^\x00\n]+$": Expectation("one line of text", "单行文本"),
    r"^[^\x00-\x1f\x7f/@]+$": Expectation(
        "a name without '/', '@' and line breaks", "不含“/”、“@”和换行的名称"
    ),
    r"^@?[a-z][a-z0-9._-]{0,48}[a-z0-9]$": Expectation(
        "a version such as v3, or a tag such as prod, without the name of the dataset",
        "版本号（如 v3）或标签（如 prod），不带数据集名称",
    ),
    r"^[a-z][a-z0-9._-]{0,48}[a-z0-9]$": Expectation(
        "a tag of 2 to 50 lower-case letters, digits, '.', '_' and '-', such as prod",
        "由 2 至 50 个小写字母、数字、“.”、“_”和“-”组成的标签，如 prod",
    ),
    r"^[^@\s]{1,100}@[^@\s]{1,50}$": Expectation(
        "a model, as in NAME@VERSION or NAME@ALIAS", "模型，写作 NAME@VERSION 或 NAME@ALIAS"
    ),
    r"^[a-z][a-z0-9._-]{1,49}$": Expectation(
        "an alias of 2 to 50 lower-case letters, digits, '.', '_' and '-' that begins with a "
        "letter, such as production",
        "由 2 至 50 个小写字母、数字、“.”、“_”和“-”组成并以字母开头的别名，如 production",
    ),
    r"^[a-z][a-z0-9_]{0,98}$": Expectation(
        "the code of a finding, such as near_duplicates", "问题代码，如 near_duplicates"
    ),
    r"^password$": Expectation("the word password", "单词 password"),
    r"^[A-Za-z0-9._-]{1,96}(/[A-Za-z0-9._-]{1,96})?$": Expectation(
        "a repository, as in owner/name", "仓库名称，如 owner/name"
    ),
    r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,95}/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}$": Expectation(
        "a repository, as in owner/name", "仓库名称，如 owner/name"
    ),
    r"^[A-Za-z0-9][A-Za-z0-9._/-]*$": Expectation(
        "a branch, a tag or a commit, as in main", "分支、标签或提交，如 main"
    ),
    r"^[a-z0-9][a-z0-9._-]*$": Expectation(
        "lower-case letters, digits, '.', '_' and '-', beginning with a letter or a digit",
        "小写字母、数字、“.”、“_”和“-”，并以字母或数字开头",
    ),
    r"^[a-z0-9][a-z0-9._:/-]*$": Expectation(
        "lower-case letters, digits and '.', '_', ':', '/', '-', beginning with a letter or a "
        "digit",
        "小写字母、数字以及“.”、“_”、“:”、“/”、“-”，并以字母或数字开头",
    ),
    r"^[^@\s\x00-\x1f]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$": Expectation(
        "an email address, as in lin@example.com", "邮箱地址，如 lin@example.com"
    ),
    r"^[\w][\w .:/@+-]*$": Expectation(
        "letters, digits, spaces and '.', ':', '/', '@', '+', '-', beginning with a letter or a "
        "digit",
        "字母、数字、空格以及“.”、“:”、“/”、“@”、“+”、“-”，并以字母或数字开头",
    ),
    r"^[A-Za-z_][A-Za-z0-9_]*$": Expectation(
        "the name of a layer's class, as in LlamaDecoderLayer", "层的类名，如 LlamaDecoderLayer"
    ),
    r"^[a-z][a-z_]{0,98}\*?$": Expectation(
        "the code of a finding, or the beginning of codes and a star, as in leakage_*",
        "问题代码，或以星号结尾的代码前缀，如 leakage_*",
    ),
    r"^[0-9a-f]{7,64}$": Expectation(
        "a commit in 7 to 64 hexadecimal digits", "7 至 64 位十六进制数字表示的提交"
    ),
    r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$": Expectation(
        "the name of a Python package", "Python 软件包的名称"
    ),
    r"^s3://[A-Za-z0-9][A-Za-z0-9.-]{1,61}[A-Za-z0-9]/.+$": Expectation(
        "an address such as s3://bucket/key", "形如 s3://bucket/key 的地址"
    ),
    r"^[a-z0-9-]{1,50}$": Expectation("a region, as in us-east-1", "区域名称，如 us-east-1"),
    r"^https?://[^\s?#]+$": Expectation(
        "an http or https address without '?' and '#'", "不含“?”和“#”的 http 或 https 地址"
    ),
    r"^https?://[^\s]+$": Expectation(
        "an http or https address without spaces", "不含空格的 http 或 https 地址"
    ),
    r"^[A-Za-z0-9._-]+$": Expectation(
        "letters, digits, '.', '_' and '-'", "字母、数字、“.”、“_”和“-”"
    ),
    r"^[a-z][a-z0-9_-]{0,49}$": Expectation(
        "at most 50 lower-case letters, digits, '_' and '-', beginning with a letter",
        "最多 50 个小写字母、数字、“_”和“-”，并以字母开头",
    ),
    r"^([A-Z][A-Z0-9_]*_(TOKEN|KEY|SECRET|PASSWORD|CREDENTIALS)|AWS_ACCESS_KEY_ID)$": Expectation(
        "a variable for credentials, whose name ends in _TOKEN, _KEY, _SECRET, _PASSWORD or"
        " _CREDENTIALS, or AWS_ACCESS_KEY_ID",
        "存放凭据的变量，其名称以 _TOKEN、_KEY、_SECRET、_PASSWORD 或 _CREDENTIALS 结尾，"
        "或为 AWS_ACCESS_KEY_ID",
    ),
    r"^[A-Z_][A-Z0-9_]*$": Expectation(
        "capital letters, digits and '_', as in MY_SETTING", "大写字母、数字和“_”，如 MY_SETTING"
    ),
}
"""Descriptions keyed by pattern, as written in the models. A test fails if one is missing."""

UNKNOWN_PATTERN = Expectation(
    "written in another way; see the API's reference", "其他写法，请参阅 API 参考"
)
