"""AI Platform: a self-hosted system for the whole life cycle of a language model.

``from aiplatform import Client`` is the SDK. The name is resolved on first use, so that the runtime
and the launcher, which share this package, start without importing an HTTP client.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiplatform.client import Client as Client

__version__ = "0.1.0"
__all__ = ["Client", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Client":
        from aiplatform.client import Client  # noqa: PLC0415  (lazy on purpose, see above)

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
