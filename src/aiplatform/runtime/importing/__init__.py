"""Import of base models from uploads, packages and hubs, into one layout with safetensors."""
