python - <<'PYTHON'
import json
with open("faq.jsonl", "w") as file:
    for number in range(12):
        row = {"text": f"Refund {number} arrives after {number + 3} working days.", "score": number / 12,
               "label": ["good", "spam"][number % 2]}
        file.write(json.dumps(row) + "\n")
PYTHON
aiplatform datasets upload faq.jsonl --name faq
