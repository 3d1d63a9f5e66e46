python "$PREPARE/chats.py" chats.jsonl 8
aiplatform datasets upload chats.jsonl --name questions
python "$PREPARE/chats.py" held.jsonl 4
aiplatform datasets upload held.jsonl --name held-out
cp -r "$TINY_MODEL" Qwen2.5-0.5B-Instruct
aiplatform train --base-model smollm2 --dataset questions --output faq --max-steps 2
