import json
from pathlib import Path

from aiplatform import Client

client = Client()
project = client.projects.get(client.project)


def begin(name):
    answer = client.transport.request("POST", f"projects/{project.uuid}/runs", json={"name": name})
    return answer.json()["uuid"]


begin("3f0c9b1e")  # It never ends, so that a task submitted with `--after` waits for it.
task = begin("TASK")
points = [{"key": "loss", "step": step, "value": 1 / step} for step in range(1, 11)]
client.transport.request("POST", f"tasks/{task}/metrics", json={"points": points})
client.transport.request("POST", f"tasks/{task}/end", json={"status": "completed"})

support = client.datasets.get("support")
spec = {"type": "data_quality", "dataset": {"dataset": str(support.uuid)}}
Path("eval.toml").write_text(f'type = "data_quality"\ndataset = {{dataset = "{support.uuid}"}}\n')
Path("reports.jsonl").write_text(json.dumps({"name": "report", "spec": spec}) + "\n")
