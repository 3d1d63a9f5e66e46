aiplatform projects show demo > /dev/null 2>&1 || aiplatform projects create demo
for name in faq drafts; do
  echo "{\"text\": \"A row of $name.\"}" > $name.jsonl
  aiplatform datasets upload $name.jsonl --name $name --project demo
  aiplatform datasets rm $name --project demo --yes
done
