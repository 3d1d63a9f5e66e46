"""Who may do what: every route of the API, declared once more, by hand.

The code says it in guards, this table says it in words that a reviewer can check line by line, and
``test_routes.py`` asks the running application whether both are true. A route that is missing here
fails the build.

People: *viewer* and *developer* are members of the project with the seed's roles, *owner* owns it,
*admin* holds ``*`` globally, *outsider* is signed in and none of these. The latter five are plain
users outside projects. Nobody but admin may touch another project, and to them it does not exist.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from aiplatform.protocol.permissions import Permission

Kind = Literal["public", "nowhere", "signed in", "inbox", "platform", "project"]


@dataclass(frozen=True)
class Access:
    """One route; ``place`` is below ``/api/v1`` unless it begins with a slash.

    - ``public``: everybody; ``nowhere``: everybody, and nothing is there
    - ``signed in``: whoever has a good token
    - ``inbox``: the same, for what is their own; somebody else's does not exist, even for admin
    - ``platform``: who holds ``permission`` globally, of these people admin alone
    - ``project``: owner and admin, and the members named by ``viewer`` and ``developer``

    ``send`` is what the request carries; by default nothing, which a route that needs a body
    refuses after its guard has let it in. ``asks`` is what a refused developer is said to lack, if
    that is not ``permission``. ``frozen``: refused in an archived project, by default when the
    permission is one of writing. ``unready``: admitted people may get 503, the model does not run.
    """

    method: str
    place: str
    kind: Kind
    permission: Permission | None = None
    viewer: bool = False
    developer: bool = False
    send: dict[str, Any] = field(default_factory=dict)
    asks: str | None = None
    frozen: bool | None = None
    unready: bool = False

    @property
    def path(self) -> str:
        """The whole path, with its parameters' names."""
        return self.place if self.place.startswith("/") else f"/api/v1/{self.place}"

    @property
    def key(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"

    @property
    def is_frozen(self) -> bool:
        """Whether an archived project refuses it."""
        if self.frozen is not None:
            return self.frozen
        return self.permission is not None and self.permission.endswith(":write")


def reads(place: str, permission: Permission, **options: Any) -> Access:
    """A GET in a project for all members of the seed's roles."""
    return Access("GET", place, "project", permission, viewer=True, developer=True, **options)


def writes(method: str, place: str, permission: Permission, **options: Any) -> Access:
    """A change in a project for its developers."""
    return Access(method, place, "project", permission, developer=True, **options)


CHAT = {"json": {"model": "{deployment}", "messages": [{"role": "user", "content": "Hi"}]}}

TABLE = [
    # Signing in, accounts
    Access("POST", "auth/token", "public"),
    Access("POST", "auth/refresh", "public"),
    Access("POST", "auth/logout", "signed in"),
    Access("GET", "users/me", "signed in"),
    Access("PUT", "users/me/password", "signed in"),
    Access("GET", "users", "platform", Permission.USERS_READ),
    Access("POST", "users", "platform", Permission.USERS_WRITE),
    # The platform
    Access("GET", "health", "public", unready=True),
    Access("GET", "/metrics", "platform", Permission.SETTINGS_READ),
    Access("GET", "audit", "platform", Permission.AUDIT_READ),
    Access("GET", "notifications", "signed in"),
    Access("POST", "notifications/{notification}/read", "inbox"),
    # Projects: plain users may create them; see test_projects.py for other global roles
    Access("GET", "projects", "signed in"),
    Access("POST", "projects", "signed in", Permission.PROJECTS_WRITE),
    reads("projects/{project}", Permission.PROJECTS_READ),
    writes("PATCH", "projects/{project}", Permission.PROJECTS_WRITE, frozen=False),
    Access(
        "DELETE", "projects/{project}", "project", Permission.PROJECTS_WRITE, asks="*", frozen=False
    ),
    Access("GET", "projects/{project}/members", "project", Permission.MEMBERS_READ),
    Access("PUT", "projects/{project}/members/{user}", "project", Permission.MEMBERS_WRITE),
    Access("DELETE", "projects/{project}/members/{user}", "project", Permission.MEMBERS_WRITE),
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
    reads("datasets/{dataset}/versions/{version}/report", Permission.DATASETS_READ),
    writes("POST", "datasets/{dataset}/versions/{version}/quality", Permission.DATASETS_WRITE),
    # Tasks
    reads("projects/{project}/tasks", Permission.TASKS_READ),
    writes("POST", "projects/{project}/tasks", Permission.TASKS_WRITE),
    reads("tasks/{task}", Permission.TASKS_READ),
    writes("POST", "tasks/{task}/cancel", Permission.TASKS_WRITE, frozen=False),
    reads("tasks/{task}/logs", Permission.TASKS_READ),
    reads("tasks/{task}/metrics", Permission.TASKS_READ),
    reads("tasks/{task}/timeline", Permission.TASKS_READ),
    reads("tasks/{task}/events", Permission.TASKS_READ),
    # Experiments
    reads("projects/{project}/experiments", Permission.TRAINING_READ),
    writes("POST", "projects/{project}/experiments", Permission.TRAINING_WRITE),
    reads("experiments/{experiment}", Permission.TRAINING_READ),
    writes("PATCH", "experiments/{experiment}", Permission.TRAINING_WRITE),
    writes("DELETE", "experiments/{experiment}", Permission.TRAINING_WRITE),
    reads("experiments/{experiment}/runs", Permission.TRAINING_READ),
    writes("POST", "experiments/{experiment}/runs", Permission.TRAINING_WRITE),
    # Models; those that no project owns are everybody's to read, see tests of the registry
    Access("GET", "models", "signed in"),
    reads("projects/{project}/models", Permission.MODELS_READ),
    writes("POST", "projects/{project}/models", Permission.MODELS_WRITE),
    reads("models/{model}", Permission.MODELS_READ),
    writes("DELETE", "models/{model}", Permission.MODELS_WRITE),
    reads("models/{model}/lineage", Permission.MODELS_READ),
    reads("models/{model}/files", Permission.MODELS_READ),
    reads("models/{model}/files/{path:path}", Permission.MODELS_READ),
    writes("PUT", "models/{model}/files/{path:path}", Permission.MODELS_WRITE),
    writes("POST", "models/{model}/import", Permission.MODELS_WRITE),
    # Deployments
    reads("projects/{project}/deployments", Permission.INFERENCE_READ),
    writes("POST", "projects/{project}/deployments", Permission.INFERENCE_WRITE),
    reads("deployments/{deployment}", Permission.INFERENCE_READ),
    writes("DELETE", "deployments/{deployment}", Permission.INFERENCE_WRITE),
    writes("POST", "deployments/{deployment}/start", Permission.INFERENCE_WRITE),
    writes("POST", "deployments/{deployment}/stop", Permission.INFERENCE_WRITE, frozen=False),
    writes("POST", "deployments/{deployment}/restart", Permission.INFERENCE_WRITE),
    # OpenAI's interface
    Access("GET", "/v1/models", "signed in", Permission.INFERENCE_READ),
    reads("/v1/models/{deployment}", Permission.INFERENCE_READ),
    Access(
        "POST", "/v1/chat/completions", "project", Permission.INFERENCE_READ,
        viewer=True, developer=True, send=CHAT, unready=True,
    ),
    *(Access(method, "/v1/{path:path}", "nowhere") for method in
      ("DELETE", "GET", "PATCH", "POST", "PUT")),
]  # fmt: skip

UNGUARDED = {"GET /api/v1/openapi.json"}
"""What describes the API and nothing that is in it."""

PUBLIC = {
    "POST /api/v1/auth/token",
    "POST /api/v1/auth/refresh",
    "GET /api/v1/health",
    *(f"{method} /v1/{{path:path}}" for method in ("DELETE", "GET", "PATCH", "POST", "PUT")),
}
"""The routes without authentication. A longer list is a decision, not an accident."""
