# `rows` has three versions before the page uploads a fourth, and faults that its report names.
header="prompt,completion"
seq 1 30 | sed 's/.*/Question & about parcel number &,Answer & in a few words of its own/' > rows.txt
for size in 10 15 20; do
  { echo "$header"; head -n $size rows.txt; } > rows.csv
  aiplatform datasets upload rows.csv --name rows
done
{
  echo "$header"
  cat rows.txt
  echo "Question 1 about parcel number 1,Answer 1 in a few words of its own"
  echo "Where do I write to?,Please write to lin.chen@mail-shop.com with your number"
  echo "Do you deliver to Luxembourg?,Oui Ã  partir de mars et mÃªme avant si câ€™est possible"
} > rows.csv
printf 'sepal_length,species\n5.1,setosa\n6.4,versicolor\n' > iris.csv
python - <<'PYTHON' > scraped.jsonl
for number in range(20):
    print('{"text": "Line %d of what was found"}' % number)
print('{"text": "cut off')
PYTHON
python - <<'PYTHON'
import json
with open("faq.jsonl", "w") as file:
    for number in range(12):
        row = {"id": number, "text": f"Refund {number} arrives after {number + 3} working days at the latest.",
               "customer": f"c{number % 6}", "score": number / 12}
        file.write(json.dumps(row) + "\n")
    row["id"], row["text"] = 12, row["text"].replace("latest", "very latest")
    file.write(json.dumps(row) + "\n")
open("fixes.csv", "w").write("id,text\n3,Refunds arrive after three days.\n")
PYTHON
aiplatform datasets upload faq.jsonl --name faq
aiplatform datasets tag faq@v1 prod
python "$PREPARE/chats.py" held.jsonl 8
aiplatform datasets upload held.jsonl --name held-out
python "$PREPARE/chats.py" held.jsonl 9
aiplatform datasets upload held.jsonl --name held-out
aiplatform datasets upload examples/held-out.jsonl --name human-eval
python - <<'PYTHON' > ratings.jsonl
for number in range(12):
    print('{"prompt": "What is %d?", "completion": "Number %d.", "label": %s}'
          % (number, number, "true" if number % 2 else "false"))
PYTHON
aiplatform datasets upload ratings.jsonl --name ratings
