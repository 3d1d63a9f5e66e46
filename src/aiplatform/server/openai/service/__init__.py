"""Use cases of the OpenAI-compatible API.

``lookups`` finds the caller and their deployments. ``calls`` decides which deployment gets a
request. ``answers`` gets the answer over ``connections`` to the model servers. ``watch`` ends
answers when the right to them ends, and ``journal`` writes the audit entries.
"""

from aiplatform.server.openai.service.answers import Answer, ChatService
from aiplatform.server.openai.service.calls import (
    CallableModel,
    ChatCall,
    Target,
    callable_models,
    choose,
    read_body,
)

__all__ = [
    "Answer",
    "CallableModel",
    "ChatCall",
    "ChatService",
    "Target",
    "callable_models",
    "choose",
    "read_body",
]
