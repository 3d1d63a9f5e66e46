"""A program that writes a small chat dataset: `python chats.py FILE COUNT [FIRST]`."""

import json
import sys
from pathlib import Path

TOPICS = (
    "tracking a parcel",
    "changing an address",
    "paying by card",
    "returning a chair",
    "using a voucher",
)

first = int(sys.argv[3]) if len(sys.argv) > 3 else 0
rows = []
for number in range(first, first + int(sys.argv[2])):
    topic = TOPICS[number % len(TOPICS)]
    question = f"Customer {number} asks for help with {topic}. What is the answer?"
    answer = (
        f"Open page {number * 7} of the help centre; it explains {topic} in {number + 2} steps."
    )
    rows.append(
        {
            "messages": [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
        }
    )
Path(sys.argv[1]).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
