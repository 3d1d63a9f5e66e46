python "$PREPARE/chats.py" chats.jsonl 16
aiplatform datasets upload chats.jsonl --name faq
for name in faq EXPERIMENT; do
  aiplatform experiments create $name --set base_model=smollm2 --set dataset=faq
done
# A run whose process died before it could say how it ended.
python - <<'PYTHON' || true
import os

from aiplatform import Client

run = Client().run("died", mode="offline", directory="offline")
run.log({"loss": 1.0}, step=1)
os._exit(1)
PYTHON
mv offline/* DIR
