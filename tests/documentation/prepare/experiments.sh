python "$PREPARE/chats.py" chats.jsonl 16
aiplatform datasets upload chats.jsonl --name faq
python "$PREPARE/chats.py" held-out.jsonl 8 100
aiplatform datasets upload held-out.jsonl --name held-out
echo "What we found out." > note.md
