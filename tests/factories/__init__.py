"""Factories that insert and commit rows for tests.

Pass the values that matter to the test; a factory fills in the rest.
"""

from tests.factories.data import (
    make_binned_dataset,
    make_blob,
    make_dataset,
    make_report,
    make_rows,
    make_version,
    references,
    whole_report,
)
from tests.factories.numbers import number
from tests.factories.people import (
    PASSWORD,
    make_invitation,
    make_key,
    make_role,
    make_session,
    make_token,
    make_user,
)
from tests.factories.projects import (
    make_binned_project,
    make_context,
    make_delivery,
    make_member,
    make_notification,
    make_project,
    make_project_invitation,
    make_secret,
    make_view,
    make_webhook,
)
from tests.factories.work import (
    make_bundle,
    make_deployment,
    make_experiment,
    make_model,
    make_task,
    make_worker,
)

__all__ = [
    "PASSWORD",
    "make_binned_dataset",
    "make_binned_project",
    "make_blob",
    "make_bundle",
    "make_context",
    "make_dataset",
    "make_delivery",
    "make_deployment",
    "make_experiment",
    "make_invitation",
    "make_key",
    "make_member",
    "make_model",
    "make_notification",
    "make_project",
    "make_project_invitation",
    "make_report",
    "make_role",
    "make_rows",
    "make_secret",
    "make_session",
    "make_task",
    "make_token",
    "make_user",
    "make_version",
    "make_view",
    "make_webhook",
    "make_worker",
    "number",
    "references",
    "whole_report",
]
