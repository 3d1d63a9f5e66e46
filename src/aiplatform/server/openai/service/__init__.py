"""Use cases of the façade.

``lookups`` finds who asks and what they may, ``calls`` says what is asked of whom, ``answers``
brings the answer over ``connections`` to the model servers; ``watch`` ends answers whose right has
ended, ``journal`` puts all into the audit.
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
