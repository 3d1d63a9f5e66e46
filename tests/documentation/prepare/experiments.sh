python "$PREPARE/chats.py" chats.jsonl 16
aiplatform datasets upload chats.jsonl --name faq
echo "What we found out." > note.md
