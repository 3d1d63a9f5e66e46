"""Use cases for the OpenAI-compatible API.

``routing`` decides which deployment gets a request. ``answers`` finds the caller, gets the answer
over ``connections`` to the model servers, and writes the audit entry. ``access_watch`` ends answers
when their callers lose access.
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
