from pathlib import Path

from aiplatform import Client

client = Client()
pairs = [
    {"prompt": f"What is {n} plus 1?", "chosen": f"It is {n + 1}.", "rejected": "No idea."}
    for n in range(24)
]
client.datasets.upload("pairs", pairs[:16])
client.datasets.upload("held-out-pairs", pairs[16:])
ratings = [
    {"prompt": f"What is {n} plus 1?", "completion": answer, "label": label}
    for n in range(12)
    for answer, label in ((f"It is {n + 1}.", True), ("No idea.", False))
]
client.datasets.upload("ratings", ratings[:16])
client.datasets.upload("held-out-ratings", ratings[16:])
sums = [{"prompt": f"What is {n} plus 1?", "completion": str(n + 1)} for n in range(24)]
client.datasets.upload("sums", sums[:16])
client.datasets.upload("held-out-sums", sums[16:])
matches = [
    {"anchor": f"What is {n} plus 1?", "positive": f"The sum is {n + 1}."} for n in range(40)
]
client.datasets.upload("matches", matches[:32])
client.datasets.upload("matches-test", matches[32:])
reviews = [
    {"text": f"Film {n} is {word}.", "label": label}
    for n in range(12)
    for word, label in (("wonderful", "good"), ("boring", "bad"))
]
client.datasets.upload("reviews", reviews[:16])
client.datasets.upload("reviews-test", reviews[16:])
lines = [f"Rule {n}: wash the brush after drawing {n} lines." for n in range(24)]
Path("handbook.txt").write_text("\n".join(lines[:16]))
client.datasets.upload("handbook-test", [{"text": line} for line in lines[16:]])
