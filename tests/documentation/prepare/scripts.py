from aiplatform import Client

client = Client()
project = client.projects.get(client.project)
run = client.transport.request(
    "POST", f"projects/{project.uuid}/runs", json={"name": "TASK"}
).json()
client.transport.request("POST", f"tasks/{run['uuid']}/end", json={"status": "completed"})
step, steps, loss = 1, 2, 0.5
