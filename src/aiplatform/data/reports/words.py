"""Texts for the page, in English and Chinese."""

from typing import Literal

Language = Literal["en", "zh"]

WORDS: dict[str, tuple[str, str]] = {
    "title": ("Quality report", "质量报告"),
    "rows": ("rows", "条数据"),
    "score": ("Score", "得分"),
    "of_100": ("of 100", "/ 100"),
    "verdict_yes": ("Ready to train on", "可以用于训练"),
    "verdict_yes_why": (
        "No errors or warnings were found.", "没有发现错误或警告。"),
    "verdict_care": ("Can be used for training, with warnings", "可以用于训练，但有警告"),
    "verdict_care_why": (
        "There are no errors, but these findings reduce the quality of the model.",
        "没有错误，但以下问题会影响训练效果。"),
    "verdict_no": ("Do not train on this yet", "暂时不要用于训练"),
    "verdict_no_why": (
        "Fix these errors first.", "请先处理以下错误。"),
    "verdict_gate": (
        "Training is refused: the version does not pass the project's quality gate.",
        "项目的质量门禁未通过，训练会被拒绝。"),
    "error": ("Errors", "错误"),
    "warning": ("Warnings", "警告"),
    "info": ("Notes", "提示"),
    "one_error": ("Error", "错误"),
    "one_warning": ("Warning", "警告"),
    "one_info": ("Note", "提示"),
    "none": ("Nothing.", "无。"),
    "count": ("{count} rows, {share}", "{count} 条，占 {share}"),
    "count_one": ("{count} row, {share}", "{count} 条，占 {share}"),
    "effect": ("Effect", "影响"),
    "fixes": ("Fixes", "修复方式"),
    "examples": ("Examples", "示例"),
    "copy_of": ("a copy of row {row}", "与第 {row} 条相同"),
    "row": ("row", "第"),
    "groups": ("Groups of rows", "重复的数据组"),
    "changes": ("Compared with {label}", "与 {label} 比较"),
    "change": ("Change", "变化"),
    "finding": ("Finding", "问题"),
    "before": ("Before", "之前"),
    "after": ("After", "之后"),
    "new": ("new", "新增"),
    "worse": ("worse", "变差"),
    "not_checked": ("not checked", "未检查"),
    "same": ("same", "不变"),
    "better": ("better", "变好"),
    "gone": ("gone", "已消除"),
    "gate": ("Quality gate", "质量门禁"),
    "passed": ("Passed", "通过"),
    "failed": ("Not passed", "未通过"),
    "no_gate": ("The project has no rules.", "项目没有设置规则。"),
    "tokens": ("Tokens per row", "每条数据的 token 数"),
    "token_facts": (
        "median {p50}, 95 % at most {p95}, longest {max}; over {max_length}: {over_length} rows",
        "中位数 {p50}，95% 不超过 {p95}，最长 {max}；超过 {max_length} 被截断：{over_length} 条"),
    "languages": ("Languages", "语言"),
    "language_note": ("from {rows} rows whose language is clear", "基于 {rows} 条语言明确的数据"),
    "labels": ("Labels", "标签"),
    "compared_with": ("Evaluation data and benchmarks", "评估数据与基准测试"),
    "leaked": (
        "{rows} rows; found here: {exact} word for word, {question} by question, {near} almost",
        "{rows} 条中，{exact} 条与本数据完全相同，{question} 条问题相同，{near} 条几乎相同"),
    "contaminated": (
        "{contaminated} of {rows} rows share a passage; {too_short} are too short to tell",
        "{rows} 条中有 {contaminated} 条与本数据有相同原文；{too_short} 条过短无法判断"),
    "outside": ("Other checks", "其他检查"),
    "outside_failed": ("failed", "失败"),
    "outside_fine": ("ran", "已运行"),
    "formula": ("How the score is computed", "得分的计算方法"),
    "made": ("made", "生成于"),
}  # fmt: skip


def word(language: Language, key: str, **params: object) -> str:
    """Return the text of a key in a language, with its parameters inserted."""
    return WORDS[key][language == "zh"].format(**params)
