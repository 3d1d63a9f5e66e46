# A training whose name is TASK, so that the commands of the page find it.
python "$PREPARE/chats.py" chats.jsonl 16
aiplatform datasets upload chats.jsonl --name support
aiplatform datasets upload chats.jsonl --name held-out --allow-identical
aiplatform experiments create faq --set base_model=smollm2 --set dataset=support --set max_steps=3 --set output_name=faq
