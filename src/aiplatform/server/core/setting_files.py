"""Settings from files, as orchestrators hand out secrets."""

import os
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource, SettingsError


def comma_separated(value: object) -> object:
    """The parts of a variable that is a list; what is none already is left as it is."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


class FileSource(PydanticBaseSettingsSource):
    """``AIPLATFORM_X_FILE`` names a file that holds ``AIPLATFORM_X``, as orchestrators do it."""

    def get_field_value(
        self,
        field: FieldInfo,  # noqa: ARG002  (the base class's)
        field_name: str,
    ) -> tuple[Any, str, bool]:
        """What the file of a field holds, without the line's end."""
        variable = f"AIPLATFORM_{field_name.upper()}"
        path = os.environ.get(f"{variable}_FILE")
        if path is None:
            return None, field_name, False
        if variable in os.environ:
            raise SettingsError(f"{variable} and {variable}_FILE are both set; keep one of them")
        try:
            return Path(path).read_text("utf-8").rstrip("\r\n"), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{variable}_FILE: {path} can't be read: {error}") from error

    def __call__(self) -> dict[str, Any]:
        """Every field that a file gives."""
        found = {name: self.get_field_value(field, name)[0]
                 for name, field in self.settings_cls.model_fields.items()}  # fmt: skip
        return {name: value for name, value in found.items() if value is not None}
