python "$PREPARE/chats.py" chats.jsonl 6
aiplatform datasets upload chats.jsonl --name faq
for count in 7 8; do
  python "$PREPARE/chats.py" chats.jsonl $count
  aiplatform datasets upload chats.jsonl --name faq
done
cat > train.py <<'PYTHON'
import os
import pathlib

output = pathlib.Path(os.environ["AIPLATFORM_OUTPUT"])
(output / "found.txt").write_text(" ".join(os.listdir(os.environ["AIPLATFORM_INPUTS"])))
PYTHON
