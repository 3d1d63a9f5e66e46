"""Signed URLs for objects in an S3 store.

The S3 client only signs the URL. The object is then fetched with the same checks as any other URL.
"""

import os
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from aiplatform.protocol.dataset_sources import S3Source
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.fetching.downloader import RemoteFile

SIGNED_FOR = timedelta(days=1)


def locate(source: S3Source) -> RemoteFile:
    """Return the URL of the object, signed if there are credentials.

    Raises:
        JobError: One of the two credentials is missing, or signing fails.
    """
    bucket, _, key = source.uri.removeprefix("s3://").partition("/")
    name = key.rpartition("/")[2]
    key_id, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if (key_id is None) != (secret is None):
        raise JobError("Name both secrets, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or none.")
    endpoint = (source.endpoint or f"https://s3.{source.region}.amazonaws.com").rstrip("/")
    if key_id is None or secret is None:
        return RemoteFile(f"{endpoint}/{bucket}/{quote(key)}", name)

    import obstore
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    options: dict[str, Any] = {}
    if token := os.environ.get("AWS_SESSION_TOKEN"):
        options["session_token"] = token
    try:
        store = S3Store(
            bucket,
            endpoint=endpoint,
            region=source.region,
            access_key_id=key_id,
            secret_access_key=secret,
            virtual_hosted_style_request=False,
            client_options={"allow_http": endpoint.startswith("http://")},
            **options,
        )
        return RemoteFile(obstore.sign(store, "GET", key, SIGNED_FOR), name)
    except BaseError as error:
        raise JobError(f"The address of {source.uri} can't be signed: {error}") from error
