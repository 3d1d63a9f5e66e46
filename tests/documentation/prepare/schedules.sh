python "$PREPARE/chats.py" chats.jsonl 16
aiplatform datasets upload chats.jsonl --name faq
aiplatform experiments create faq --set base_model=smollm2 --set dataset=faq
