"""Scenes of datasets."""

import json
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.factories import (
    number,
)
from tests.matrix.scenes.scene import ROWS, Act, Scene, done, scene


@scene("POST projects/{project}/datasets")
def uploading(s: Scene) -> Act:
    return partial(
        s.owner.post,
        f"{s.path('project')}/datasets",
        params={"name": f"rows{number()}", "filename": "rows.jsonl"},
        content=ROWS.encode(),
    )


@scene("POST datasets/{dataset}/versions")
def uploading_a_version(s: Scene) -> Act:
    row = json.dumps({"id": 10, "text": "ten", "label": "b"}) + "\n"
    params = {"filename": "rows.jsonl"}
    return partial(s.owner.post, f"{s.dataset()}/versions", params=params, content=row.encode())


@scene("PATCH uploads/{upload}")
def the_last_piece(s: Scene) -> Act:
    """Send the piece that completes an upload; pieces before it have no audit entry."""
    content = ROWS.encode()
    names = {"name": f"rows{number()}", "filename": "rows.jsonl"}
    begun = done(
        s.owner.post(
            f"{s.path('project')}/uploads",
            headers={
                "Tus-Resumable": "1.0.0",
                "Upload-Length": str(len(content)),
                "Upload-Metadata": ",".join(
                    f"{key} {b64encode(value.encode()).decode()}" for key, value in names.items()
                ),
            },
        )
    )
    where = begun.headers["location"].partition("/api/v1/")[2]
    tus = {"Tus-Resumable": "1.0.0"}

    def act() -> Any:
        """Send the missing bytes: none, if only the audit entry of the end failed before."""
        offset = int(done(s.owner.request("HEAD", where, headers=tus)).headers["upload-offset"])
        headers = {
            **tus,
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
        }
        return s.owner.patch(where, content=content[offset:], headers=headers)

    return act


def changing(what: str, **body: Any) -> Callable[[Scene], Act]:
    return lambda s: partial(s.owner.post, f"{s.dataset()}/{what}", json=body)


scene("POST datasets/{dataset}/patch")(
    changing("patch", set=[{"row": 0, "values": {"text": "other"}}])
)
scene("POST datasets/{dataset}/filter")(
    changing("filter", where=[{"column": "label", "op": "==", "value": "a"}])
)
scene("POST datasets/{dataset}/fix")(changing("fix", parent="v1", fixes={"personal_email": "mask"}))
scene("POST datasets/{dataset}/split")(changing("split", fractions={"train": 0.5, "eval": 0.5}))
scene("POST datasets/{dataset}/map")(changing("map", map={"text": "prompt", "label": "completion"}))
scene("POST datasets/{dataset}/restore")(changing("restore", version="v1"))


@scene("PUT datasets/{dataset}/tags/{tag}")
def tagging(s: Scene) -> Act:
    return partial(s.owner.put, f"{s.dataset()}/tags/best", json={"version": "v1"})


@scene("DELETE datasets/{dataset}/versions/{version}")
def deleting_a_version(s: Scene) -> Act:
    return partial(s.owner.delete, f"{s.dataset()}/versions/v2")
