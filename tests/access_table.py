"""The access table: every route of the API, and who may call it.

It repeats by hand what the guards in the code require, so that a reviewer can check each line.
``test_routes.py`` and ``matrix/`` send requests to the application and compare the responses
with this table. A route that is missing here fails the build.

The users of the tests:

- *viewer* and *developer* are members of the project, with these predefined roles,
- *owner* owns the project,
- *admin* has the permission ``*`` globally,
- *outsider* is signed in, but has no role in the project.

Outside the project, only admin has permissions beyond those of every user. Only admin may access
other projects; for everyone else, other projects do not exist (404).
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from aiplatform.protocol.permissions import Permission

Kind = Literal["public", "not_found", "signed in", "inbox", "platform", "project"]


@dataclass(frozen=True)
class Access:
    """A route of the API, and who may call it.

    Attributes:
        method: HTTP method.
        short_path: path below ``/api/v1``, or the whole path if it begins with a slash.
        kind: who may call the route. ``public``: everyone. ``not_found``: everyone, and the
            response is always 404. ``signed in``: everyone with a valid token. ``inbox``: the same,
            for their own objects; other users' objects are 404, even for admin. ``platform``:
            users with ``permission`` globally; of the test users, only admin. ``project``: owner
            and admin, and the members named by ``viewer`` and ``developer``.
        permission: permission that the guard requires.
        viewer: True if viewers are allowed.
        developer: True if developers are allowed.
        send: arguments of the request. By default none: a route that needs a body then rejects the
            request, but only after its guard has admitted it.
        named_permission: permission named in the response to a refused developer, if it is not
            ``permission``.
        refused_when_archived: True if an archived project refuses the request. By default True for
            permissions that end in ``:write``.
        may_be_unavailable: True if the response may be 503, because no model is served.
        personal: True if the object at the end of the path belongs to one user, and other members
            of the project may not change it.
        allow_keys: True if API keys are allowed. By default True for public routes and for
            routes that require a permission, which can be compared with the scopes of a key.
    """

    method: str
    short_path: str
    kind: Kind
    permission: Permission | None = None
    viewer: bool = False
    developer: bool = False
    send: dict[str, Any] = field(default_factory=dict)
    named_permission: str | None = None
    refused_when_archived: bool | None = None
    may_be_unavailable: bool = False
    personal: bool = False
    allow_keys: bool | None = None

    @property
    def path(self) -> str:
        """The whole path, with the names of its parameters."""
        return self.short_path if self.short_path.startswith("/") else f"/api/v1/{self.short_path}"

    @property
    def key(self) -> str:
        """The method and the path."""
        return f"{self.method} {self.path}"

    @property
    def removes_object(self) -> bool:
        """True if the object is no longer at this path after a successful request."""
        return self.method == "DELETE" or self.path.endswith("/restore")

    @property
    def accepts_keys(self) -> bool:
        """True if API keys with the right scope are allowed."""
        if self.allow_keys is not None:
            return self.allow_keys
        return self.permission is not None or self.kind in {"public", "not_found"}

    @property
    def is_refused_when_archived(self) -> bool:
        """True if an archived project refuses the request."""
        if self.refused_when_archived is not None:
            return self.refused_when_archived
        return self.permission is not None and self.permission.endswith(":write")


def reads(path: str, permission: Permission, **options: Any) -> Access:
    """Return the entry of a project's GET route that viewers and developers may call."""
    return Access("GET", path, "project", permission, viewer=True, developer=True, **options)


def writes(method: str, path: str, permission: Permission, **options: Any) -> Access:
    """Return the entry of a project's route that developers may call but viewers may not."""
    return Access(method, path, "project", permission, developer=True, **options)


CHAT = {"json": {"model": "{deployment}", "messages": [{"role": "user", "content": "Hi"}]}}

GATE = Access(
    "PUT",
    "projects/{project}/dataset-gate",
    "project",
    Permission.DATASETS_OVERRIDE,
    refused_when_archived=True,
)
UPLOAD = {"headers": {"Upload-Length": "5", "Upload-Metadata": "name bWF0cml4"}}
LAST_PIECE = {"headers": {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "5"}}

TABLE = [
    # Signing in, accounts
    Access("POST", "auth/token", "public"),
    Access("POST", "auth/refresh", "public"),
    Access("POST", "auth/logout", "signed in"),
    Access("POST", "auth/forgot-password", "public"),
    Access("POST", "auth/reset-password", "public"),
    Access("POST", "auth/register", "public"),
    Access("POST", "auth/accept-invitation", "public"),
    Access("GET", "users/me", "signed in", allow_keys=True),
    Access("PUT", "users/me/password", "signed in"),
    Access("PUT", "users/me/email", "signed in"),
    Access("GET", "users/me/sessions", "signed in"),
    Access("DELETE", "users/me/sessions", "signed in"),
    Access("DELETE", "users/me/sessions/{session}", "inbox"),
    Access("GET", "users/me/totp", "signed in"),
    Access("POST", "users/me/totp", "signed in"),
    Access("POST", "users/me/totp/confirm", "signed in"),
    Access("POST", "users/me/totp/recovery-codes", "signed in"),
    Access("POST", "users/me/totp/disable", "signed in"),
    Access("GET", "workers", "platform", Permission.SETTINGS_READ),
    Access("GET", "workers/{worker}", "platform", Permission.SETTINGS_READ),
    Access("GET", "workers/{worker}/telemetry", "platform", Permission.SETTINGS_READ),
    Access("POST", "workers/{worker}/cordon", "platform", Permission.SETTINGS_WRITE),
    Access("POST", "workers/{worker}/drain", "platform", Permission.SETTINGS_WRITE),
    Access("POST", "workers/{worker}/resume", "platform", Permission.SETTINGS_WRITE),
    Access("POST", "storage/gc", "platform", Permission.SETTINGS_WRITE),
    Access("GET", "users", "platform", Permission.USERS_READ),
    Access("POST", "users", "platform", Permission.USERS_WRITE),
    Access("GET", "users/{user}", "platform", Permission.USERS_READ),
    Access("PATCH", "users/{user}", "platform", Permission.USERS_WRITE),
    Access("DELETE", "users/{user}", "platform", Permission.USERS_WRITE),
    Access("POST", "users/{user}/deactivate", "platform", Permission.USERS_WRITE),
    Access("POST", "users/{user}/activate", "platform", Permission.USERS_WRITE),
    Access("POST", "users/{user}/password-reset", "platform", Permission.USERS_WRITE,
           allow_keys=False),
    Access("DELETE", "users/{user}/sessions", "platform", Permission.USERS_WRITE),
    Access("DELETE", "users/{user}/totp", "platform", Permission.USERS_WRITE, allow_keys=False),
    Access("GET", "invitations", "platform", Permission.USERS_READ),
    Access("POST", "invitations", "platform", Permission.USERS_WRITE, allow_keys=False),
    Access("DELETE", "invitations/{invitation}", "platform", Permission.USERS_WRITE),
    # Single sign-on
    Access("POST", "browser-session", "public"),
    Access("POST", "browser-session/sso", "public"),
    Access("GET", "browser-session", "signed in"),
    Access("PATCH", "browser-session", "signed in"),
    Access("DELETE", "browser-session", "signed in"),
    Access("GET", "stream", "signed in"),
    Access("GET", "auth/oidc", "public"),
    Access("GET", "auth/oidc/login", "public"),
    Access("GET", "auth/oidc/callback", "public"),
    Access("POST", "auth/oidc/token", "public"),
    # API keys
    Access("GET", "users/me/keys", "signed in"),
    Access("POST", "users/me/keys", "signed in"),
    Access("DELETE", "users/me/keys/{key}", "inbox"),
    Access("GET", "users/{user}/keys", "platform", Permission.USERS_READ),
    Access("DELETE", "users/{user}/keys/{key}", "platform", Permission.USERS_WRITE),
    # Roles: everyone may see which roles and permissions exist
    Access("GET", "permissions", "signed in", allow_keys=True),
    Access("GET", "roles", "signed in", allow_keys=True),
    Access("GET", "roles/{role}", "signed in", allow_keys=True),
    Access("POST", "roles", "platform", Permission.ROLES_WRITE),
    Access("PATCH", "roles/{role}", "platform", Permission.ROLES_WRITE),
    Access("DELETE", "roles/{role}", "platform", Permission.ROLES_WRITE),
    # The platform
    Access("GET", "health", "public"),
    Access("GET", "health/details", "public", may_be_unavailable=True),
    Access("GET", "licences", "signed in", allow_keys=True),
    Access("GET", "/metrics", "platform", Permission.SETTINGS_READ),
    Access("GET", "audit", "platform", Permission.AUDIT_READ),
    Access("GET", "audit/export", "platform", Permission.AUDIT_READ),
    Access("GET", "audit/verification", "platform", Permission.AUDIT_READ),
    Access("POST", "audit/verification", "platform", Permission.AUDIT_READ),
    Access("GET", "notifications", "signed in"),
    Access("GET", "notifications/unread", "signed in"),
    Access(
        "GET", "notifications/stream", "signed in", send={"params": {"follow": "false"}}
    ),
    Access("POST", "notifications/read", "signed in"),
    Access("DELETE", "notifications/read", "signed in"),
    Access("GET", "notifications/preferences", "signed in"),
    Access("PATCH", "notifications/preferences", "signed in"),
    Access("POST", "notifications/{notification}/read", "inbox"),
    Access("DELETE", "notifications/{notification}", "inbox"),
    # Projects: plain users may create them; test_projects.py tests other global roles
    Access("GET", "projects", "signed in", allow_keys=True),
    Access("POST", "projects", "signed in", Permission.PROJECTS_WRITE),
    reads("projects/{project}", Permission.PROJECTS_READ),
    writes("PATCH", "projects/{project}", Permission.PROJECTS_WRITE, refused_when_archived=False),
    Access(
        "DELETE", "projects/{project}", "project", Permission.PROJECTS_WRITE,
        named_permission="*", refused_when_archived=False,
    ),
    *(Access("POST", f"projects/{{project}}/{change}", "project", Permission.PROJECTS_WRITE,
             named_permission="*", refused_when_archived=False)
      for change in ("archive", "unarchive")),
    reads("projects/{project}/usage", Permission.PROJECTS_READ),
    reads("projects/{project}/retention", Permission.PROJECTS_READ),
    Access("PUT", "projects/{project}/quota", "platform", Permission.SETTINGS_WRITE,
           send={"json": {}}),
    # The bin: the top level shows deleted projects to those who may restore them; a project's bin
    # has the datasets and models that were deleted from it
    Access("GET", "bin", "signed in", allow_keys=True),
    Access("POST", "bin/{binned}/restore", "project", Permission.PROJECTS_WRITE,
           named_permission="*", refused_when_archived=False),
    Access("DELETE", "bin/{binned}", "project", Permission.PROJECTS_WRITE,
           named_permission="*", refused_when_archived=False),
    reads("projects/{project}/bin", Permission.PROJECTS_READ),
    writes("POST", "projects/{project}/bin/{item}/restore", Permission.PROJECTS_WRITE),
    Access("DELETE", "projects/{project}/bin/{item}", "project", Permission.PROJECTS_WRITE,
           named_permission="*", refused_when_archived=False),
    Access("GET", "projects/{project}/members", "project", Permission.MEMBERS_READ),
    Access("PUT", "projects/{project}/members/{user}", "project", Permission.MEMBERS_WRITE),
    Access("DELETE", "projects/{project}/members/{user}", "project", Permission.MEMBERS_WRITE),
    Access("GET", "projects/{project}/invitations", "project", Permission.MEMBERS_READ),
    Access("GET", "users/me/project-invitations", "signed in"),
    Access("POST", "users/me/project-invitations/{invitation}/accept", "inbox"),
    Access("POST", "users/me/project-invitations/{invitation}/decline", "inbox"),
    # Secrets
    Access("GET", "users/me/secrets", "signed in"),
    Access("PUT", "users/me/secrets/{secret}", "signed in"),
    Access("DELETE", "users/me/secrets/{secret}", "inbox"),
    reads("projects/{project}/secrets", Permission.TASKS_READ),
    writes("PUT", "projects/{project}/secrets/{secret}", Permission.PROJECTS_WRITE),
    writes("DELETE", "projects/{project}/secrets/{secret}", Permission.PROJECTS_WRITE),
    # Saved views: users change only their own; keys can't change any
    reads("projects/{project}/views", Permission.PROJECTS_READ),
    reads("projects/{project}/views/{view}", Permission.PROJECTS_READ),
    *(
        Access(method, path, "project", Permission.PROJECTS_READ, viewer=True, developer=True,
               refused_when_archived=True, allow_keys=False, personal="{view}" in path)
        for method, path in (
            ("POST", "projects/{project}/views"),
            ("PATCH", "projects/{project}/views/{view}"),
            ("DELETE", "projects/{project}/views/{view}"),
        )
    ),
    # Webhooks send data out of the project, so they require the permission to manage members
    *(
        Access(method, path, "project", Permission.MEMBERS_WRITE,
               refused_when_archived=method != "GET")
        for method, path in (
            ("GET", "projects/{project}/webhooks"),
            ("POST", "projects/{project}/webhooks"),
            ("GET", "webhooks/{webhook}"),
            ("PATCH", "webhooks/{webhook}"),
            ("GET", "webhooks/{webhook}/deliveries"),
            ("GET", "webhooks/{webhook}/deliveries/{delivery}"),
            ("POST", "webhooks/{webhook}/deliveries/{delivery}/replay"),
            ("POST", "webhooks/{webhook}/rotate"),
            ("POST", "webhooks/{webhook}/test"),
            ("DELETE", "webhooks/{webhook}"),
        )
    ),
    Access("POST", "projects/{project}/leave", "project", viewer=True, developer=True),
    Access(
        "POST", "projects/{project}/transfer", "project", Permission.PROJECTS_WRITE,
        named_permission="owner", refused_when_archived=False, allow_keys=False,
    ),
    Access("GET", "projects/{project}/access", "project", Permission.MEMBERS_READ),
    Access("GET", "projects/{project}/access/me", "project", viewer=True, developer=True),
    # Datasets
    reads("projects/{project}/datasets", Permission.DATASETS_READ),
    writes("POST", "projects/{project}/datasets", Permission.DATASETS_WRITE),
    reads("datasets/{dataset}", Permission.DATASETS_READ),
    writes("PATCH", "datasets/{dataset}", Permission.DATASETS_WRITE),
    writes("DELETE", "datasets/{dataset}", Permission.DATASETS_WRITE),
    reads("datasets/{dataset}/versions", Permission.DATASETS_READ),
    writes("POST", "datasets/{dataset}/versions", Permission.DATASETS_WRITE),
    reads("datasets/{dataset}/versions/{version}", Permission.DATASETS_READ),
    reads("datasets/{dataset}/versions/{version}/rows", Permission.DATASETS_READ),
    reads("datasets/{dataset}/versions/{version}/content", Permission.DATASETS_READ),
    reads(
        "datasets/{dataset}/versions/{version}/findings/{finding}/rows", Permission.DATASETS_READ
    ),
    reads(
        "datasets/{dataset}/versions/{version}/findings/{finding}/preview",
        Permission.DATASETS_READ,
        send={"params": {"action": "drop"}},
    ),
    reads("datasets/{dataset}/versions/{version}/parts", Permission.DATASETS_READ),
    reads("datasets/{dataset}/storage", Permission.DATASETS_READ),
    reads("projects/{project}/datasets/storage", Permission.DATASETS_READ),
    reads("datasets/{dataset}/versions/{version}/report", Permission.DATASETS_READ),
    reads("datasets/{dataset}/versions/{version}/reports", Permission.DATASETS_READ),
    reads(
        "datasets/{dataset}/versions/{version}/report/changes",
        Permission.DATASETS_READ,
        send={"params": {"since": "v1"}},
    ),
    reads("datasets/{dataset}/versions/{version}/report/page", Permission.DATASETS_READ),
    reads("datasets/{dataset}/versions/{version}/gate", Permission.DATASETS_READ),
    reads("projects/{project}/dataset-gate", Permission.DATASETS_READ),
    GATE,
    writes("POST", "datasets/{dataset}/versions/{version}/quality", Permission.DATASETS_WRITE),
    writes("DELETE", "datasets/{dataset}/versions/{version}", Permission.DATASETS_WRITE),
    writes("OPTIONS", "projects/{project}/uploads", Permission.DATASETS_WRITE),
    writes("GET", "projects/{project}/uploads", Permission.DATASETS_WRITE),
    writes("POST", "projects/{project}/uploads", Permission.DATASETS_WRITE, send=UPLOAD),
    writes("HEAD", "uploads/{upload}", Permission.DATASETS_WRITE),
    writes("GET", "uploads/{upload}", Permission.DATASETS_WRITE),
    writes("PATCH", "uploads/{upload}", Permission.DATASETS_WRITE, send=LAST_PIECE),
    writes("DELETE", "uploads/{upload}", Permission.DATASETS_WRITE),
    writes("POST", "datasets/{dataset}/patch", Permission.DATASETS_WRITE),
    writes("POST", "datasets/{dataset}/filter", Permission.DATASETS_WRITE),
    writes("POST", "datasets/{dataset}/fix", Permission.DATASETS_WRITE),
    writes("POST", "projects/{project}/dataset-imports", Permission.DATASETS_WRITE),
    writes("POST", "datasets/{dataset}/map", Permission.DATASETS_WRITE),
    writes("POST", "datasets/{dataset}/split", Permission.DATASETS_WRITE),
    writes("POST", "datasets/{dataset}/restore", Permission.DATASETS_WRITE),
    reads(
        "datasets/{dataset}/diff", Permission.DATASETS_READ, send={"params": {"before": "v1"}}
    ),
    reads("datasets/{dataset}/tags", Permission.DATASETS_READ),
    writes("PUT", "datasets/{dataset}/tags/{tag}", Permission.DATASETS_WRITE),
    writes("DELETE", "datasets/{dataset}/tags/{tag}", Permission.DATASETS_WRITE),
    # Tasks
    reads("projects/{project}/tasks", Permission.TASKS_READ),
    writes("POST", "projects/{project}/tasks", Permission.TASKS_WRITE),
    writes("POST", "projects/{project}/tasks/batch", Permission.TASKS_WRITE),
    reads("tasks/{task}", Permission.TASKS_READ),
    writes(
        "PATCH",
        "tasks/{task}",
        Permission.TASKS_WRITE,
        send={"json": {"priority": 6}, "headers": {"If-Match": "*"}},
    ),
    writes("POST", "tasks/{task}/pause", Permission.TASKS_WRITE, refused_when_archived=False),
    writes("POST", "tasks/{task}/resume", Permission.TASKS_WRITE),
    writes("POST", "tasks/{task}/retry", Permission.TASKS_WRITE),
    writes("POST", "tasks/{task}/move", Permission.TASKS_WRITE, send={"json": {}}),
    writes("POST", "tasks/{task}/cancel", Permission.TASKS_WRITE, refused_when_archived=False),
    reads("tasks/{task}/logs", Permission.TASKS_READ),
    reads("tasks/{task}/logs/download", Permission.TASKS_READ),
    reads("tasks/{task}/logs/search", Permission.TASKS_READ),
    reads("tasks/{task}/logs/stream", Permission.TASKS_READ),
    reads("tasks/{task}/metrics", Permission.TASKS_READ),
    reads("tasks/{task}/telemetry", Permission.TASKS_READ),
    reads("tasks/{task}/usage", Permission.TASKS_READ),
    reads("projects/{project}/metrics", Permission.TASKS_READ),
    reads("projects/{project}/metrics/summary", Permission.TASKS_READ),
    # Runs that execute outside the platform
    writes("POST", "projects/{project}/runs", Permission.TASKS_WRITE),
    writes("POST", "tasks/{task}/metrics", Permission.TASKS_WRITE),
    writes("POST", "tasks/{task}/logs", Permission.TASKS_WRITE),
    writes("POST", "tasks/{task}/heartbeat", Permission.TASKS_WRITE, refused_when_archived=False),
    writes("POST", "tasks/{task}/end", Permission.TASKS_WRITE, refused_when_archived=False),
    reads("tasks/{task}/timeline", Permission.TASKS_READ),
    reads("tasks/{task}/artifacts", Permission.TASKS_READ),
    reads("tasks/{task}/artifacts/{path:path}", Permission.TASKS_READ),
    writes("PUT", "tasks/{task}/artifacts/{path:path}", Permission.TASKS_WRITE),
    reads("tasks/{task}/events", Permission.TASKS_READ),
    # Experiments
    reads("projects/{project}/experiments", Permission.TRAINING_READ),
    writes("POST", "projects/{project}/experiments", Permission.TRAINING_WRITE),
    writes("POST", "projects/{project}/training-estimates", Permission.TRAINING_WRITE),
    reads("training-estimates/{estimate}", Permission.TRAINING_READ),
    reads("experiments/{experiment}", Permission.TRAINING_READ),
    writes("PATCH", "experiments/{experiment}", Permission.TRAINING_WRITE),
    writes("DELETE", "experiments/{experiment}", Permission.TRAINING_WRITE),
    reads("experiments/{experiment}/runs", Permission.TRAINING_READ),
    writes("POST", "experiments/{experiment}/runs", Permission.TRAINING_WRITE),
    # Scripts
    reads("projects/{project}/bundles", Permission.TRAINING_READ),
    writes("POST", "projects/{project}/bundles", Permission.TRAINING_WRITE),
    reads("bundles/{bundle}", Permission.TRAINING_READ),
    reads("bundles/{bundle}/content", Permission.TRAINING_READ),
    writes("DELETE", "bundles/{bundle}", Permission.TRAINING_WRITE),
    writes("POST", "experiments/{experiment}/clone", Permission.TRAINING_WRITE),
    reads("projects/{project}/runs", Permission.TRAINING_READ),
    reads("projects/{project}/comparison", Permission.TRAINING_READ),
    reads("runs/{run}", Permission.TRAINING_READ),
    writes("POST", "runs/{run}/rerun", Permission.TRAINING_WRITE),
    # Sweeps
    reads("projects/{project}/sweeps", Permission.TRAINING_READ),
    writes("POST", "projects/{project}/sweeps", Permission.TRAINING_WRITE),
    reads("sweeps/{sweep}", Permission.TRAINING_READ),
    writes("POST", "sweeps/{sweep}/cancel", Permission.TRAINING_WRITE, refused_when_archived=False),
    writes("POST", "sweeps/{sweep}/register", Permission.MODELS_WRITE),
    # Schedules
    reads("projects/{project}/schedules", Permission.TASKS_READ),
    writes("POST", "projects/{project}/schedules", Permission.TASKS_WRITE),
    reads("schedules/{schedule}", Permission.TASKS_READ),
    writes("PATCH", "schedules/{schedule}", Permission.TASKS_WRITE),
    writes("DELETE", "schedules/{schedule}", Permission.TASKS_WRITE),
    reads("schedules/{schedule}/firings", Permission.TASKS_READ),
    # Models; everyone may read those that belong to no project, see the tests of the registry
    Access("GET", "models", "signed in", allow_keys=True),
    reads("projects/{project}/models", Permission.MODELS_READ),
    writes("POST", "projects/{project}/models", Permission.MODELS_WRITE),
    reads("models/{model}", Permission.MODELS_READ),
    writes("DELETE", "models/{model}", Permission.MODELS_WRITE),
    reads("models/{model}/lineage", Permission.MODELS_READ),
    reads("models/{model}/files", Permission.MODELS_READ),
    reads("models/{model}/files/{path:path}", Permission.MODELS_READ),
    writes("PUT", "models/{model}/files/{path:path}", Permission.MODELS_WRITE),
    writes("POST", "models/{model}/import", Permission.MODELS_WRITE),
    reads("projects/{project}/model-aliases", Permission.MODELS_READ),
    reads("models/{model}/aliases", Permission.MODELS_READ),
    writes("PUT", "models/{model}/aliases/{alias}", Permission.MODELS_WRITE),
    writes("DELETE", "models/{model}/aliases/{alias}", Permission.MODELS_WRITE),
    writes("POST", "models/{model}/aliases/{alias}/undo", Permission.MODELS_WRITE),
    reads("models/{model}/aliases/{alias}/moves", Permission.MODELS_READ),
    # Deployments
    reads("projects/{project}/deployments", Permission.INFERENCE_READ),
    writes("POST", "projects/{project}/deployments", Permission.INFERENCE_WRITE),
    reads("deployments/{deployment}", Permission.INFERENCE_READ),
    writes("DELETE", "deployments/{deployment}", Permission.INFERENCE_WRITE),
    writes("POST", "deployments/{deployment}/start", Permission.INFERENCE_WRITE),
    writes("POST", "deployments/{deployment}/stop", Permission.INFERENCE_WRITE,
           refused_when_archived=False),
    writes("POST", "deployments/{deployment}/restart", Permission.INFERENCE_WRITE),
    writes("POST", "deployments/{deployment}/update", Permission.INFERENCE_WRITE),
    # The OpenAI-compatible API
    Access("GET", "/v1/models", "signed in", Permission.INFERENCE_READ),
    reads("/v1/models/{deployment}", Permission.INFERENCE_READ),
    Access(
        "POST", "/v1/chat/completions", "project", Permission.INFERENCE_READ,
        viewer=True, developer=True, send=CHAT, may_be_unavailable=True,
    ),
    *(Access(method, "/v1/{path:path}", "not_found") for method in
      ("DELETE", "GET", "PATCH", "POST", "PUT")),
]  # fmt: skip

UNGUARDED = {"GET /api/v1/openapi.json"}
"""Routes without a guard: the document describes the API and contains no data."""

PUBLIC = {
    "POST /api/v1/auth/token",
    "POST /api/v1/auth/refresh",
    "GET /api/v1/auth/oidc",
    "GET /api/v1/auth/oidc/login",
    "GET /api/v1/auth/oidc/callback",
    "POST /api/v1/auth/oidc/token",
    "POST /api/v1/browser-session",
    "POST /api/v1/browser-session/sso",
    "POST /api/v1/auth/forgot-password",
    "POST /api/v1/auth/reset-password",
    "POST /api/v1/auth/register",
    "POST /api/v1/auth/accept-invitation",
    "GET /api/v1/health",
    "GET /api/v1/health/details",
    *(f"{method} /v1/{{path:path}}" for method in ("DELETE", "GET", "PATCH", "POST", "PUT")),
}
"""Routes without authentication. A test fails if the application has others."""
