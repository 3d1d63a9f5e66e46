"""Base models on their way in: uploads, packages and hubs, to one layout in safetensors."""
