python "$PREPARE/chats.py" chats.jsonl 16
aiplatform datasets upload chats.jsonl --name faq
python "$PREPARE/chats.py" held.jsonl 4
aiplatform datasets upload held.jsonl --name held-out
aiplatform experiments create faq --set base_model=smollm2 --set dataset=faq --set eval_dataset=held-out --set max_steps=2
