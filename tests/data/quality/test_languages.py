"""Tests of language shares, rare languages, and answers in another writing system."""

import pyarrow as pa
import pytest
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from aiplatform.data.quality.check import Context
from aiplatform.data.quality.language_model import LANGUAGES, language_model
from aiplatform.data.quality.languages import ALL_NAMES, UNKNOWN, Languages, classify
from aiplatform.protocol.enums import DataShape
from tests.data.conftest import chat
from tests.data.quality.conftest import Report, codes, found

ENGLISH = "The weather in the mountains was cold and clear when we began to walk number {}."
GERMAN = "Das Wetter in den Bergen war kalt und klar, als wir am Morgen losgegangen sind."


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "en"),
        (GERMAN, "de"),
        ("Le temps à la montagne était froid et clair quand nous sommes partis.", "fr"),
        ("El tiempo en la montaña era frío y claro cuando empezamos a caminar.", "es"),
        ("Погода в горах была холодной и ясной, когда мы вышли утром.", "ru"),
    ],
)
def test_classified_recognises_languages(text: str, language: str) -> None:
    assert [ALL_NAMES[number] for number in classify([text, text])] == [language, language]


def test_classified_names_and_numbers_are_unknown() -> None:
    texts = [
        "Kubernetes Docker PostgreSQL Redis nginx Grafana Prometheus",
        "1. Paris 2. Berlin 3. Madrid 4. Roma 5. Lisboa 6. Wien",
    ]
    assert classify(texts).tolist() == [UNKNOWN, UNKNOWN]


def test_language_model_agrees_with_the_library() -> None:
    texts = [
        "", "12345", "HELLO WORLD AND ALL WHO LIVE IN IT", "ДОБРЫЙ ДЕНЬ", "Café au lait, s'il",
        "Cafe\u0301 au lait", "Добар дан, како сте данас?", "Dobar dan, kako ste danas?",
        "مرحبا بالعالم",
        "今天天气很好 hello", "\ud800 lone", GERMAN, GERMAN * 40, ENGLISH, "a", "🙂🙂🙂",
    ]  # fmt: skip
    library = LanguageIdentifier.from_model_file(MODEL_FILE)
    library.set_languages(LANGUAGES)
    model = language_model()
    told = [model.names[best] for best in model.scores(texts).argmax(axis=1)]
    read = [n for n, text in enumerate(texts) if text not in {"", "12345"}]
    assert [told[n] for n in read] == [library.classify(texts[n])[0] for n in read]


def test_report_shows_language_shares_and_rare_languages(report: Report) -> None:
    rows = [{"text": ENGLISH.format(n)} for n in range(60)]
    rows[30] = {"text": GERMAN}
    made = report(rows)
    assert made["languages"] == {"rows": 60, "shares": {"en": 0.9833, "de": 0.0167}}
    finding = found(made, "rare_languages")
    assert (finding["count"], finding["examples"][0]["row"]) == (1, 30)
    assert "but in de" in finding["message"]


def test_all_rows_in_rare_languages_are_found() -> None:
    """Check that all rows are examined, not only a sample."""
    texts = [ENGLISH.format(n) for n in range(12_000)]
    for row in (7, 5_001, 11_999):
        texts[row] = GERMAN
    rows = pa.table({"text": texts})
    check = Languages(Context(DataShape.TEXT, rows.schema, rows.num_rows))
    first = 0
    for batch in rows.to_batches(max_chunksize=4_000):
        check.look(batch, first)
        first += batch.num_rows
    [finding] = check.findings()
    assert (finding.count, list(finding.rows)) == (3, [7, 5_001, 11_999])
    assert [example.row for example in finding.examples] == [7, 5_001, 11_999]
    assert finding.fixes == ("drop",)


def test_language_is_that_of_the_answers(report: Report) -> None:
    system = "s: You are a helpful assistant who answers each question truthfully and at length."
    rows = [chat(system, "u: Und?", f"a: {GERMAN} Nummer {n}.") for n in range(3)]
    assert report(rows)["languages"] == {"rows": 3, "shares": {"de": 1.0}}


def test_code_is_ignored(report: Report) -> None:
    code = "```\nfor i in range(10): print(i) if i % 2 else None\n```"
    assert report([{"text": code + code}, {"text": f"{code}\n{GERMAN}"}])["languages"] == {
        "rows": 1,
        "shares": {"de": 1.0},
    }


def test_script_of_one_language_decides(report: Report) -> None:
    texts = ("今天天气很好我们去公园", "これは日本語の文章です", "오늘은 날씨가 아주 좋습니다")
    rows = [{"text": text} for text in texts]
    assert set(report(rows)["languages"]["shares"]) == {"zh", "ja", "ko"}


def test_answer_in_another_script_is_found(report: Report) -> None:
    rows = [
        {"prompt": "今天的天气怎么样？", "completion": "今天天气很好。"},
        {"prompt": "今天的天气怎么样？", "completion": "The weather is fine today."},
        {"prompt": "print(weather) 是什么意思？", "completion": "它输出变量 weather 的内容。"},
        {"prompt": "How is the weather?", "completion": "It is fine."},
    ]
    finding = found(report(rows), "mixed_languages")
    assert (finding["count"], finding["examples"][0]["row"]) == (1, 1)


def test_report_without_clear_languages_has_no_shares(report: Report) -> None:
    assert report([{"text": "42"}, {"text": "…"}])["languages"] is None


HAN = "然后我们沿着河边走了几个小时谈论天气和工作"


@pytest.mark.parametrize(
    ("text", "switches"),
    [
        (f"{ENGLISH * 12}{HAN}。", True),
        (f"{HAN * 12}。{ENGLISH}{ENGLISH}", True),
        (f"{ENGLISH * 12}“{HAN}”", False),
        (f"{ENGLISH * 12}天气, 工作, 事情, 今天", False),
        (f"{HAN * 12}, 用 Support Vector Machine, Random Forest, Gradient Boosting 来做。", False),
        (f"{ENGLISH * 12}{HAN.encode().decode('gb18030', 'replace')}", False),
        (f"これは{HAN * 12}", False),
    ],
    ids=["Han", "Latin", "quoted", "words", "terms", "damaged", "Japanese"],
)
def test_sentence_in_another_script_is_found(report: Report, text: str, switches: bool) -> None:
    assert ("language_switches" in codes(report([{"text": text}]))) == switches
