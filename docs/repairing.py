"""Generate ``repairing.md`` in two languages: a messy dataset, its report and its fixes.

The platform's own code reads, checks and fixes the rows in ``examples``, and the code of the
command line prints the results. Therefore the page always shows the real output.
"""

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiplatform.cli.dataset_quality import print_changes
from aiplatform.cli.report_text import print_report
from aiplatform.data.canonical import iter_rows
from aiplatform.data.ingest import ingest
from aiplatform.data.operation_specs import ComparedFile, Fix, Job
from aiplatform.data.quality.references import Reference
from aiplatform.data.quality.report import make_report
from aiplatform.data.reports import compare_reports
from aiplatform.data.row_operations import execute
from aiplatform.protocol.rows import RowFix

EXAMPLES = Path(__file__).parents[1] / "examples"

FIXES: dict[str, Any] = {
    "damaged_text": "repair",
    "duplicates": "deduplicate",
    "empty_message": "drop",
    "leakage_exact": "drop",
    "markup": "strip",
    "near_duplicates": "deduplicate",
    "no_answer": "drop",
    "personal_email": "mask",
    "personal_phone": "mask",
    "unanswered": "trim",
}

PAGE = """
# A messy dataset, repaired

`examples/messy.jsonl` contains {rows} chats of a furniture shop. Like many such files it was
copied, pasted and exported twice. `examples/held-out.jsonl` contains {held} chats that are used to
evaluate the model. This page shows the commands and what they print.

```bash
aiplatform datasets upload examples/held-out.jsonl --name held-out
aiplatform datasets upload examples/messy.jsonl --name shop --no-wait
aiplatform datasets check shop --against held-out
```

```text
{report}
```

The errors come first: {leaked} is also in the evaluation data, so a good result there would mean
nothing. The warnings are common problems of such files. The report shows which rows are meant, and
what each finding does to training. Read it as JSON (`aiplatform datasets report shop --json`), or
make a page to pass on (`aiplatform datasets report shop --html report.html --lang zh`).

Every finding lists its fixes. Here you choose each fix; `--all` uses the gentlest fix of
each error and warning.

```bash
aiplatform datasets fix shop {fixes}
```

```text
v2, made from v1: {left} rows. {counts}
```

A task in the queue applies the fixes and commits `v2`. The message of `v2` is “Fixed in v1: …”, and
its `made_by` contains the fixes, the counts and the task. `v1` is kept. These texts were changed:

{changed_texts}

The new version has its own report, compared with the same evaluation data:

```bash
aiplatform datasets report shop@v2 --compare v1
```

```text
{changes}
```

The remaining findings are for you to judge: the refusal may be wanted. To prevent training on such
a file in the future, set the quality gate:

```bash
aiplatform datasets gate --min-score 95 --forbid-errors --limit 'personal_*=0' --evaluation held-out
```
"""

PAGE_ZH = """
# 修复一份杂乱的数据集

`examples/messy.jsonl` 是一家家具店的 {rows} 段对话，和常见的此类文件一样：复制、粘贴、重复导出。
`examples/held-out.jsonl` 是用来评估模型的 {held} 段。下面是各命令的实际输出。

```bash
aiplatform datasets upload examples/held-out.jsonl --name held-out
aiplatform datasets upload examples/messy.jsonl --name shop --no-wait
aiplatform datasets check shop --against held-out
```

```text
{report}
```

首先是错误：{leaked}也出现在评估数据中，在这样的数据上得到的好结果毫无意义。警告是这类文件的常见问题。具体是哪些行、每个问题对训练有什么影响，可以在报告中查看：JSON
格式用 `aiplatform datasets report shop --json`，可以转发给别人的网页用
`aiplatform datasets report shop --html report.html --lang zh`。

每个问题都列出了可用的修复办法。这里逐一指定；`--all` 会为每个错误和警告选用最温和的一种。

```bash
aiplatform datasets fix shop {fixes}
```

```text
v2, made from v1: {left} rows. {counts}
```

修复由队列中的一个任务完成，并提交 `v2`。`v2` 的说明是“Fixed in v1: …”，它的 `made_by`
中有所用的修复、计数和任务。`v1` 仍然保留。修改后的文本：

{changed_texts}

新版本有自己的报告，并与同样的评估数据作了比较：

```bash
aiplatform datasets report shop@v2 --compare v1
```

```text
{changes}
```

剩下的取决于您的判断：拒绝回答也许正是想要的。要防止以后有人再用这样的文件训练，请设置质量门禁：

```bash
aiplatform datasets gate --min-score 95 --forbid-errors --limit 'personal_*=0' --evaluation held-out
```
"""


def repairing_pages() -> tuple[str, str]:
    """Return the page in English and in Chinese."""
    with TemporaryDirectory() as scratch:
        place = Path(scratch)
        messy, held = (
            _read(EXAMPLES / f"{name}.jsonl", place / f"{name}.parquet")
            for name in ("messy", "held-out")
        )
        reference = Reference("held-out@v1", "evaluation", held)
        before = _report(messy, reference)
        job = Job(
            base=messy,
            output=place / "fixed",
            do=Fix(
                fix=RowFix(fixes=FIXES),
                references=[ComparedFile(label="held-out@v1", role="evaluation", path=held)],
            ),
        )
        answer = execute(job)
        fixed = Path(answer["outputs"][0]["path"])
        after = _report(fixed, reference)
        changes = {"before": "v1", "after": "v2", **compare_reports(before, after)}
        counts = ", ".join(f"{answer[key]} {key}" for key in ("changed", "deleted"))
        row = _finding(before, "leakage_exact")["examples"][0]["row"]
        facts = {
            "rows": before["rows"],
            "held": reference.rows,
            "report": _printed(lambda: print_report(before, {"passed": True})),
            "fixes": " ".join(f"{code}={action}" for code, action in FIXES.items()),
            "left": after["rows"],
            "counts": counts,
            "changed_texts": _changed_texts(messy, fixed),
            "changes": _printed(lambda: print_changes(changes)),
        }
        return (
            PAGE.lstrip().format(leaked=f"row {row}", **facts),
            PAGE_ZH.lstrip().format(leaked=f"第 {row} 行（从 0 数起）", **facts),
        )


def _read(source: Path, output: Path) -> Path:
    ingest(source, output, filename=source.name)
    return output


def _report(path: Path, reference: Reference) -> dict[str, Any]:
    return make_report(
        path, tokenizer=None, max_length=512, progress=lambda _: None, references=[reference]
    )


def _finding(report: dict[str, Any], code: str) -> dict[str, Any]:
    return next(found for found in report["findings"] if found["code"] == code)


def _changed_texts(messy: Path, fixed: Path) -> str:
    before = {text for row in iter_rows(messy) for text in _texts(row)}
    after = [text for row in iter_rows(fixed) for text in _texts(row)]
    return "\n".join(f"- `{text}`" for text in after if text not in before)


def _texts(row: dict[str, Any]) -> list[str]:
    return [message["content"] for message in row["messages"]]


def _printed(show: Callable[[], None]) -> str:
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        show()
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip()
