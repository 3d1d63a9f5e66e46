"""Use cases for the OpenAI-compatible API.

``lookups`` finds the caller and their deployments, and ``routing`` decides which deployment gets a
request. ``answers`` gets the answer over ``connections`` to the model servers. ``access_watch``
ends answers when their callers lose access, and ``audit_queue`` writes the audit entries.
"""

from aiplatform.server.openai.service.answers import Answer, ChatService
from aiplatform.server.openai.service.routing import (
    CallableModel,
    ChatCall,
    Target,
    callable_models,
    choose_target,
    read_body,
)

__all__ = [
    "Answer",
    "CallableModel",
    "ChatCall",
    "ChatService",
    "Target",
    "callable_models",
    "choose_target",
    "read_body",
]
