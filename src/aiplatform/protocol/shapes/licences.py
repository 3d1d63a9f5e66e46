"""The shapes of the platform's packages and their licences."""

from pydantic import ConfigDict

from aiplatform.protocol.shapes.shape import Shape


class LicenceOut(Shape):
    """A package, and the licence that it declares."""

    name: str
    version: str
    licence: str


class LicencesOut(Shape):
    """The platform's packages, sorted by name: for Python, and for the web interface."""

    python: list[LicenceOut]
    page: list[LicenceOut]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "python": [{"name": "httpx", "version": "0.28.1", "licence": "BSD-3-Clause"}],
                    "page": [{"name": "react", "version": "19.3.1", "licence": "MIT"}],
                }
            ]
        }
    )
