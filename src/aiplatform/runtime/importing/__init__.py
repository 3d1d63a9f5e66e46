"""Import of base models from uploads, packages and hubs into a uniform layout with safetensors."""
