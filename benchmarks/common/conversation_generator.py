"""Generation of conversations with planted faults.

The conversations consist of real sentences: the English, German, French, Spanish and Chinese parts
of chatterbot-corpus, shuffled with a seed. Each kind of fault is planted into its own rows at a
known rate.
"""

import random
from collections.abc import Callable
from importlib.metadata import files
from pathlib import Path

import yaml

RATE = 0.01
Row = list[dict[str, str]]


def sentences(language: str) -> list[str]:
    """Return the corpus's sentences in a language, except very short and very long ones."""
    found: set[str] = set()
    for file in files("chatterbot-corpus") or []:
        if f"/{language}/" in str(file) and file.suffix == ".yml":
            loaded = yaml.safe_load(Path(str(file.locate())).read_text("utf-8"))
            for turn in loaded["conversations"]:
                found.update(str(text).strip() for text in turn)
    # The same long piece of code in two rows would accidentally make them near duplicates.
    return sorted(text for text in found if 6 <= len(text) <= 160 and "\n" not in text)


class ConversationGenerator:
    """A generator of conversations in one language."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.sentences = {
            language: sentences(language)
            for language in ("english", "german", "french", "spanish", "chinese")
        }
        # The sentences of the benchmark data must not occur in other rows.
        english = self.sentences["english"]
        self.rng.shuffle(english)
        self.sentences["benchmark"] = [s for s in english[:600] if len(s.split()) >= 8]
        self.sentences["english"] = sorted(english[600:])

    def text(self, least: int, most: int, language: str = "english") -> str:
        """Return text of ``least`` to ``most`` sentences."""
        chosen = self.rng.sample(self.sentences[language], self.rng.randint(least, most))
        return ("" if language == "chinese" else " ").join(chosen)

    def row(self, language: str = "english") -> Row:
        """Return a conversation with one question and one answer."""
        return [
            {"role": "user", "content": self.text(1, 3, language)},
            {"role": "assistant", "content": self.text(6, 14, language)},
        ]

    def chinese_with_terms(self) -> Row:
        """Return a Chinese conversation with a few English words, which is common."""
        row = self.row("chinese")
        text, terms = row[-1]["content"], self.rng.randint(2, 6)
        for position in sorted(self.rng.sample(range(len(text)), terms), reverse=True):
            words = self.rng.choice(self.sentences["english"]).split()
            start = self.rng.randrange(len(words))
            text = f"{text[:position]} {' '.join(words[start : start + 3])} {text[position:]}"
        return [row[0], {**row[-1], "content": text}]

    def english_with_quotations(self) -> Row:
        """Return an English conversation with a few Chinese quotations."""
        row = self.row()
        for _ in range(self.rng.randint(1, 4)):
            said = self.rng.choice(self.sentences["chinese"])
            row = self.insert_text(row, f"“{said[: self.rng.randint(2, 20)]}”")
        return row

    def insert_text(self, row: Row, what: str) -> Row:
        """Return the row with text inserted between two words of its answer."""
        words = row[-1]["content"].split(" ")
        words.insert(self.rng.randrange(len(words) + 1), what)
        return [*row[:-1], {**row[-1], "content": " ".join(words)}]

    def digits(self, count: int) -> str:
        """Return random digits."""
        return "".join(self.rng.choices("0123456789", k=count))

    def edit(self, row: Row, share: float) -> Row:
        """Return the row with a share of its answer's words replaced."""
        vocabulary = self.rng.choice(self.sentences["english"]).split()
        words = row[-1]["content"].split(" ")
        for index in self.rng.sample(range(len(words)), max(int(len(words) * share), 1)):
            vocabulary = self.rng.choice(self.sentences["english"]).split()
            words[index] = self.rng.choice(vocabulary)
        return [row[0], {**row[-1], "content": " ".join(words)}]


def luhn(digits: str) -> str:
    """Return ``digits`` followed by the check digit of Luhn's algorithm."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 - position % 2)
        total += value - 9 if value > 9 else value
    return digits + str(-total % 10)


def china_id(w: ConversationGenerator) -> str:
    """Return a Chinese resident identity number with its check digit."""
    rng = w.rng
    head = rng.choice(["110105", "310101", "440305", "510107"])
    head += f"{rng.randint(1940, 2010)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}{w.digits(3)}"
    total = sum(int(d) * (1 << (17 - i)) for i, d in enumerate(head))
    return head + "10X98765432"[total % 11]


def in_groups_of_four(digits: str) -> str:
    """Return digits in groups of four, as on bank cards."""
    return " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))


def mojibake(w: ConversationGenerator, row: Row) -> Row:
    """Insert incorrectly decoded text of one of the usual kinds."""
    kind = w.rng.randrange(3)
    if kind == 0:
        accented = [s for s in w.sentences["french"] if any("à" <= c <= "ÿ" for c in s)]
        damage = w.rng.choice(accented).encode().decode("latin-1")
    elif kind == 1:
        han = [s for s in w.sentences["chinese"] if len(s) >= 6 and s.isalpha()]
        damage = w.rng.choice(han).encode().decode("gb18030", "replace")
    else:
        damage = w.rng.choice(w.sentences["chinese"]).encode("gb18030").decode("utf-8", "replace")
    return w.insert_text(row, damage)


def inserter(
    make: Callable[[ConversationGenerator], str],
) -> Callable[[ConversationGenerator, Row], Row]:
    """Return a function that inserts text from ``make`` into an answer."""
    return lambda w, row: w.insert_text(row, make(w))


FAULTS: dict[str, Callable[[ConversationGenerator, Row], Row]] = {
    "personal_email": inserter(
        lambda w: (
            f"{w.rng.choice(['li.wei', 'anna_k', 'j.doe'])}{w.digits(2)}@"
            f"{w.rng.choice(['gmail.com', 'qq.com', 'mail.uni-bonn.de'])}"
        )
    ),
    "personal_phone": inserter(
        lambda w: w.rng.choice(
            [
                f"1{w.rng.choice(['38', '59', '86', '91'])}{w.digits(8)}",
                f"+86 139 {w.digits(4)} {w.digits(4)}",
                f"+49 30 2{w.digits(7)}",
                f"(415) 5{w.rng.randint(20, 54)}-{w.digits(4)}",
                f"+1 ({w.rng.randint(200, 999)}) {w.rng.randint(200, 999)}-{w.digits(4)}",
            ]
        )
    ),
    "personal_china_id": inserter(china_id),
    "personal_bank_card": inserter(
        lambda w: w.rng.choice([str, in_groups_of_four])(
            luhn(w.rng.choice(["4539", "5212", "6222"]) + w.digits(11))
        )
    ),
    "personal_ip_address": inserter(
        lambda w: (
            f"{w.rng.randint(11, 99)}.{w.rng.randint(0, 255)}.{w.rng.randint(0, 255)}."
            f"{w.rng.randint(1, 254)}"
        )
    ),
    "personal_secret": inserter(
        lambda w: "".join(
            [
                *(chosen := w.rng.choice([("AKIA", 16), ("ghp_", 36), ("sk-proj-", 40)]))[0],
                *w.rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZ234567", k=chosen[1]),
            ]
        )
    ),
    "damaged_text": mojibake,
    # Inserted at the start of the answer: some answers in the corpus contain code, where markup is
    # not a fault.
    "markup": lambda w, row: [
        row[0],
        {
            **row[-1],
            "content": w.rng.choice(["<br>", "</p><p>", "&nbsp;", "<b>bold</b>"])
            + row[-1]["content"],
        },
    ],
    "refusals": lambda w, row: [
        row[0],
        {
            "role": "assistant",
            "content": w.rng.choice(
                [
                    "I'm sorry, but I can't help with that. ",
                    "I cannot provide that information. ",
                    "As an AI language model, I do not have opinions. ",
                    "很抱歉，我无法回答这个问题。",
                ]
            )
            + row[-1]["content"],
        },
    ],
    # As long as an answer, because two short questions may be the same sentence by chance.
    "no_answer": lambda w, _: [{"role": "user", "content": w.text(6, 14)}],
    "unanswered": lambda w, row: [*row, {"role": "user", "content": w.text(1, 1)}],
    "role_order": lambda _, row: [row[0], row[0], row[1]],
    "empty_message": lambda _, row: [{**row[0], "content": "  "}, row[1]],
    "mixed_languages": lambda w, row: [
        {"role": "user", "content": w.text(2, 4, "chinese")},
        row[1],
    ],
    "rare_languages": lambda w, _: w.row(w.rng.choice(["german", "french", "spanish"])),
    "language_switches": lambda w, row: [
        row[0],
        {**row[-1], "content": row[-1]["content"] + w.text(3, 4, "chinese")},
    ],
    "whitespace": lambda w, row: [
        row[0],
        {
            **row[-1],
            "content": w.rng.choice(["{}\n", " {}", "{}\n\n\n\n\nBye."]).format(row[-1]["content"]),
        },
    ],
    # As long as five answers; no other row is that long.
    "over_length": lambda w, row: [row[0], {**row[-1], "content": w.text(70, 80)}],
}


def with_faults(w: ConversationGenerator, rows: int) -> tuple[list[Row], dict[str, set[int]]]:
    """Return conversations, and the indices of the rows with each fault."""
    conversations = [w.row() for _ in range(rows)]
    each = int(rows * RATE)
    # The first half stays clean. It contains the originals of the copies, which are later rows.
    positions = iter(w.rng.sample(range(rows // 2, rows), each * (len(FAULTS) + 2)))
    truth: dict[str, set[int]] = {}
    for code, add_fault in FAULTS.items():
        truth[code] = {next(positions) for _ in range(each)}
        for index in truth[code]:
            conversations[index] = add_fault(w, conversations[index])
    originals = iter(w.rng.sample(range(rows // 2), 2 * each))
    truth["duplicates"] = {next(positions) for _ in range(each)}
    for index in truth["duplicates"]:
        conversations[index] = conversations[next(originals)]
    truth["near_duplicates"] = {next(positions) for _ in range(each)}
    for index in truth["near_duplicates"]:
        conversations[index] = w.edit(conversations[next(originals)], w.rng.uniform(0.02, 0.10))
    return conversations, truth


def add_overlaps(
    w: ConversationGenerator, conversations: list[Row], truth: dict[str, set[int]]
) -> tuple[list[Row], list[Row]]:
    """Return evaluation data and benchmark data, after planting parts of both into the rows."""
    each = int(len(conversations) * RATE)
    taken = set().union(*truth.values())
    positions = iter(
        w.rng.sample(
            [n for n in range(len(conversations) // 2, len(conversations)) if n not in taken],
            4 * each,
        )
    )
    evaluation = [w.row() for _ in range(4 * each)]
    sources = iter(evaluation)
    passages = [[{"role": "user", "content": w.text(3, 4, "benchmark")}] for _ in range(each)]
    # Short questions are the same everywhere, so the questions in the evaluation data are longer.
    for row in evaluation:
        row[0]["content"] = w.text(3, 5)
    for code in ("leakage_exact", "leakage_question", "leakage_near", "contamination"):
        truth[code] = {next(positions) for _ in range(each)}
    for index in truth["leakage_exact"]:
        conversations[index] = next(sources)
    for index in truth["leakage_question"]:
        conversations[index] = [next(sources)[0], conversations[index][1]]
    for index in truth["leakage_near"]:
        source = w.edit(next(sources), w.rng.uniform(0.02, 0.10))
        # The question gets an extra word, so that the row isn't found by an identical question.
        conversations[index] = [{**source[0], "content": f"So: {source[0]['content']}"}, source[1]]
    for index in truth["contamination"]:
        words = w.rng.choice(passages)[0]["content"].split(" ")
        start = w.rng.randrange(max(len(words) - 20, 1))
        conversations[index] = w.insert_text(
            conversations[index], " ".join(words[start : start + 20])
        )
    return evaluation, passages
