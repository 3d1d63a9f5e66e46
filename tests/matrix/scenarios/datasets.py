"""Scenarios for datasets."""

import json
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.factories import (
    number,
)
from tests.matrix.scenarios.scenario import ROWS, Act, Scenario, done, scenario


@scenario("POST projects/{project}/datasets")
def uploading(s: Scenario) -> Act:
    return partial(
        s.owner.post,
        f"{s.path('project')}/datasets",
        params={"name": f"rows{number()}", "filename": "rows.jsonl"},
        content=ROWS.encode(),
    )


@scenario("POST datasets/{dataset}/versions")
def uploading_a_version(s: Scenario) -> Act:
    row = json.dumps({"id": 10, "text": "ten", "label": "b"}) + "\n"
    params = {"filename": "rows.jsonl"}
    return partial(s.owner.post, f"{s.dataset()}/versions", params=params, content=row.encode())


@scenario("PATCH uploads/{upload}")
def the_last_piece(s: Scenario) -> Act:
    """Send the piece that completes an upload; earlier pieces have no audit entry."""
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
        """Send the bytes that the server lacks, or none if only the audit entry failed before."""
        offset = int(done(s.owner.request("HEAD", where, headers=tus)).headers["upload-offset"])
        headers = {
            **tus,
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
        }
        return s.owner.patch(where, content=content[offset:], headers=headers)

    return act


def changing(what: str, **body: Any) -> Callable[[Scenario], Act]:
    return lambda s: partial(s.owner.post, f"{s.dataset()}/{what}", json=body)


scenario("POST datasets/{dataset}/patch")(
    changing("patch", set=[{"row": 0, "values": {"text": "other"}}])
)
scenario("POST datasets/{dataset}/filter")(
    changing("filter", where=[{"column": "label", "op": "==", "value": "a"}])
)
scenario("POST datasets/{dataset}/fix")(
    changing("fix", parent="v1", fixes={"personal_email": "mask"})
)
scenario("POST datasets/{dataset}/split")(changing("split", fractions={"train": 0.5, "eval": 0.5}))
scenario("POST datasets/{dataset}/map")(
    changing("map", map={"text": "prompt", "label": "completion"})
)
scenario("POST datasets/{dataset}/restore")(changing("restore", version="v1"))


@scenario("PUT datasets/{dataset}/tags/{tag}")
def tagging(s: Scenario) -> Act:
    return partial(s.owner.put, f"{s.dataset()}/tags/best", json={"version": "v1"})


@scenario("DELETE datasets/{dataset}/versions/{version}")
def deleting_a_version(s: Scenario) -> Act:
    return partial(s.owner.delete, f"{s.dataset()}/versions/v2")
