"""Request bodies of the bin."""

from pydantic import ConfigDict

from aiplatform.protocol.specs import Strict
from aiplatform.server.projects.schemas.projects import ProjectName


class RestoreIn(Strict):
    """The name after restoring; by default the old one, or a similar one if that is in use."""

    name: ProjectName | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"name": "faq-2"}]})
