"""Options that say how files of rows are read, for uploads and new versions."""

from collections.abc import Mapping
from typing import Any

from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.reading_options import Reading


def reading_params(reading: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the options for reading rows to parameters of an upload request.

    Raises:
        TypeError: for an unknown option.
        pydantic.ValidationError: for an invalid value.
    """
    unknown = sorted(set(reading) - set(Reading.model_fields))
    if unknown:
        raise TypeError(f"an upload has no option {unknown[0]!r}")
    given = Reading(**{key: value for key, value in reading.items() if value is not None})
    params = given.model_dump(mode="json", exclude_defaults=True)
    for name in ("map", "types"):
        if getattr(given, name):
            params[name] = dumps(getattr(given, name))
    return params
