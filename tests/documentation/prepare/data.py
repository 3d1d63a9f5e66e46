from aiplatform import Client

client = Client()
