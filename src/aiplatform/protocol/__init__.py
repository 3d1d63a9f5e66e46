"""What processes say to each other: specs, messages and the words they are written in.

Pydantic only, no input or output. Every other package may import this one, so a spec has one type
from the request body through the JSONB column and the runtime's input to the SDK's argument.
"""
