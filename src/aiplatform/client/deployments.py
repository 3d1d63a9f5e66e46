"""Deployments: models that the platform serves."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, overload
from uuid import UUID

from aiplatform.client.base import Group, Pages, Resource, as_uuid, find_by_name
from aiplatform.client.chat import (
    ANSWER_SECONDS,
    CHAT,
    ChatReply,
    ChatStream,
    Messages,
    chat_body,
    reply_from,
)
from aiplatform.client.errors import NotFound, NotReady
from aiplatform.client.models import ModelLike, Models
from aiplatform.client.polling import WaitingReasonReporter, poll
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.tasks import Task, TaskEvent, TaskLike, Tasks
from aiplatform.client.transport import decoded
from aiplatform.language import tr
from aiplatform.protocol.enums import DeploymentStatus
from aiplatform.protocol.references import FromTask
from aiplatform.protocol.shapes.models import DeploymentOut
from aiplatform.protocol.task_options import Resources

_ENDED_STATES = {DeploymentStatus.CRASHED, DeploymentStatus.STOPPED}


class Deployment(Resource, DeploymentOut):
    """A deployment: a model that is, or was, served under a name."""

    # In the SDK, the parts of these fields are plain JSON values.
    options: dict[str, Any] = {}  # type: ignore[assignment]
    resources: dict[str, Any] = {}  # type: ignore[assignment]

    def refresh(self) -> "Deployment":
        """Read the deployment again."""
        return Deployments(self._client).get(self.uuid)

    def wait_ready(
        self,
        timeout: float | None = 300.0,
        on_event: Callable[[TaskEvent], None] | None = None,
    ) -> "Deployment":
        """Wait until the deployment is ready for requests; see :meth:`Deployments.wait_ready`."""
        return Deployments(self._client).wait_ready(self, timeout, on_event)

    def wait_stopped(self, timeout: float | None = 60.0) -> "Deployment":
        """Wait until the deployment has stopped."""
        return Deployments(self._client).wait_stopped(self, timeout)

    def start(self) -> "Deployment":
        """Start the deployment."""
        return Deployments(self._client).start(self)

    def stop(self) -> "Deployment":
        """Stop the deployment once it has answered the requests in progress."""
        return Deployments(self._client).stop(self)

    def restart(self) -> "Deployment":
        """Stop the deployment and start it again."""
        return Deployments(self._client).restart(self)

    def update(self, model: ModelLike, *, follow: bool = False) -> "Deployment":
        """Serve another model without downtime; see :meth:`Deployments.update`."""
        return Deployments(self._client).update(self, model, follow=follow)

    def wait_updated(
        self,
        timeout: float | None = 300.0,
        on_event: Callable[[TaskEvent], None] | None = None,
    ) -> "Deployment":
        """Wait until the update has ended; see :meth:`Deployments.wait_updated`."""
        return Deployments(self._client).wait_updated(self, timeout, on_event)

    def delete(self) -> None:
        """Stop and delete the deployment."""
        Deployments(self._client).delete(self)

    @overload
    def chat(
        self,
        messages: Messages,
        *,
        stream: Literal[False] = False,
        base: bool = False,
        **parameters: Any,
    ) -> ChatReply: ...

    @overload
    def chat(
        self, messages: Messages, *, stream: Literal[True], base: bool = False, **parameters: Any
    ) -> ChatStream: ...

    @overload
    def chat(
        self, messages: Messages, *, stream: bool, base: bool = False, **parameters: Any
    ) -> ChatReply | ChatStream: ...

    def chat(
        self, messages: Messages, *, stream: bool = False, base: bool = False, **parameters: Any
    ) -> ChatReply | ChatStream:
        """Send messages to the deployment; see :meth:`Deployments.chat`."""
        return Deployments(self._client).chat(
            self, messages, stream=stream, base=base, **parameters
        )


DeploymentLike = Deployment | UUID | str
"""A deployment, its uuid, or its name."""


class Deployments(Group):
    """The operations on deployments (``client.deployments``)."""

    def create(
        self,
        name: str,
        model: ModelLike | Task,
        *,
        project: ProjectLike | None = None,
        after: Sequence[TaskLike] = (),
        after_any: Sequence[TaskLike] = (),
        engine: str | None = None,
        max_length: int | None = None,
        max_batch_size: int | None = None,
        precision: str | None = None,
        resources: Resources | None = None,
        follow: bool = False,
    ) -> Deployment:
        """Create a deployment that serves a model; requests select it by ``name``.

        ``model`` may be a training task, whose model is then served as soon as it exists. The
        deployment starts after the tasks in ``after`` have succeeded and those in ``after_any``
        have ended. If a task in ``after`` fails, the deployment stops; ``error`` says why. For
        defaults, see :class:`~aiplatform.protocol.specs.InferenceSpec`. With ``follow``, ``model``
        is ``name@alias``, and the deployment is updated whenever that alias moves.
        """
        options = {
            "engine": engine,
            "max_length": max_length,
            "max_batch_size": max_batch_size,
            "precision": precision,
        }
        body: dict[str, Any] = {
            "name": name,
            "model": FromTask(from_task=model.uuid)
            if isinstance(model, Task)
            else self._meant(model, project, follow=follow),
            **Tasks(self._client).needs(after, after_any, project),
        }
        if follow:
            body["follow"] = True
        given = {key: value for key, value in options.items() if value is not None}
        if given:
            body["options"] = given
        if resources is not None:
            # Send only the given values: the server's defaults for deployments differ from those
            # for tasks.
            body["resources"] = resources.model_dump(exclude_unset=True)
        path = f"{Projects(self._client).path(project)}/deployments"
        return self._make(Deployment, self._http.post(path, body))

    def get(self, deployment: DeploymentLike, *, project: ProjectLike | None = None) -> Deployment:
        """Read a deployment, by uuid or by its name in a project."""
        return self._get(Deployment, self.path(deployment, project))

    def start(
        self, deployment: DeploymentLike, *, project: ProjectLike | None = None
    ) -> Deployment:
        """Start a deployment."""
        return self._act(deployment, "start", project)

    def stop(self, deployment: DeploymentLike, *, project: ProjectLike | None = None) -> Deployment:
        """Stop a deployment once it has answered the requests in progress."""
        return self._act(deployment, "stop", project)

    def restart(
        self, deployment: DeploymentLike, *, project: ProjectLike | None = None
    ) -> Deployment:
        """Stop a deployment and start it again."""
        return self._act(deployment, "restart", project)

    def update(
        self,
        deployment: DeploymentLike,
        model: ModelLike,
        *,
        follow: bool = False,
        project: ProjectLike | None = None,
    ) -> Deployment:
        """Serve another model under the same name, without downtime.

        A server with the new model starts alongside the current one, and takes over when it is
        ready. The current server then finishes the responses in progress. If the new server fails
        to start, the current server continues, and ``update_error`` contains the reason. To go
        back, update to the previous model. With ``follow``, ``model`` is ``name@alias``, and the
        deployment is updated whenever that alias moves; otherwise, it no longer follows an alias.

        Returns:
            The deployment, whose ``updating`` describes the update; see :meth:`wait_updated`.

        Raises:
            Conflict: while another update is in progress, or while the deployment stops.
        """
        path = self.path(deployment, project)
        body: dict[str, Any] = {"model": self._meant(model, project, follow=follow)}
        if follow:
            body["follow"] = True
        return self._make(Deployment, self._http.post(f"{path}/update", body))

    def wait_updated(
        self,
        deployment: DeploymentLike,
        timeout: float | None = 300.0,
        on_event: Callable[[TaskEvent], None] | None = None,
        *,
        project: ProjectLike | None = None,
    ) -> Deployment:
        """Wait until an update has succeeded or failed.

        Args:
            deployment: the deployment.
            timeout: the maximum number of seconds to wait; the update continues after that.
            on_event: called with an event of kind ``waiting`` while the new server can't start; the
                event says why.
            project: the project in which to look up a name.

        Raises:
            NotReady: if the update failed; the deployment still serves the previous model.
            WaitTimeout: after ``timeout`` seconds.
        """
        path = self.path(deployment, project)
        reasons = WaitingReasonReporter(self._client, on_event)

        def fetch() -> Deployment:
            found = self._get(Deployment, path)
            reasons.report(None if found.updating is None else found.updating.task)
            return found

        found = poll(
            fetch,
            lambda found: found.updating is None,
            timeout=timeout,
            what=tr("the update had not ended"),
            max_interval=1.0,
        )
        if found.update_error is not None:
            raise NotReady(
                tr(
                    "the update of {name} failed: {update_error}",
                    name=found.name,
                    update_error=found.update_error,
                ),
                hint=tr(
                    "{name} is {status} and serves {model_name} as before.",
                    name=found.name,
                    status=found.status,
                    model_name=found.model_name,
                ),
            )
        if found.status is not DeploymentStatus.READY:
            # The deployment was not running, and starts with the new model.
            return self.wait_ready(found, timeout, on_event)
        return found

    def delete(self, deployment: DeploymentLike, *, project: ProjectLike | None = None) -> None:
        """Stop and delete a deployment."""
        self._http.request("DELETE", self.path(deployment, project))

    def wait_ready(
        self,
        deployment: DeploymentLike,
        timeout: float | None = 300.0,
        on_event: Callable[[TaskEvent], None] | None = None,
        *,
        project: ProjectLike | None = None,
    ) -> Deployment:
        """Wait until a deployment is ready for requests.

        Args:
            deployment: the deployment.
            timeout: the maximum number of seconds to wait.
            on_event: called with an event of kind ``waiting`` while its server can't start; the
                event says why.
            project: the project in which to look up a name.

        Raises:
            NotReady: if the deployment crashed and is not restarted, or was stopped.
            WaitTimeout: after ``timeout`` seconds.
        """
        path = self.path(deployment, project)
        reasons = WaitingReasonReporter(self._client, on_event)

        def fetch() -> Deployment:
            found = self._get(Deployment, path)
            if found.status is not DeploymentStatus.READY:
                reasons.report(found.task)
            return found

        found = poll(
            fetch,
            lambda found: found.status is DeploymentStatus.READY or found.status in _ENDED_STATES,
            timeout=timeout,
            what=tr("the deployment was not ready"),
            max_interval=1.0,
        )
        if found.status is not DeploymentStatus.READY:
            reason = tr(": {reason}", reason=found.error) if found.error else ""
            raise NotReady(
                tr(
                    "the deployment {name} is {status}{reason}",
                    name=found.name,
                    status=found.status,
                    reason=reason,
                )
            )
        return found

    def wait_stopped(
        self,
        deployment: DeploymentLike,
        timeout: float | None = 60.0,
        *,
        project: ProjectLike | None = None,
    ) -> Deployment:
        """Wait until a deployment has stopped.

        Raises:
            WaitTimeout: after ``timeout`` seconds.
        """
        path = self.path(deployment, project)
        return poll(
            lambda: self._get(Deployment, path),
            lambda found: found.status in _ENDED_STATES,
            timeout=timeout,
            what=tr("the deployment had not stopped"),
            max_interval=1.0,
        )

    @overload
    def chat(
        self,
        deployment: DeploymentLike,
        messages: Messages,
        *,
        stream: Literal[False] = False,
        base: bool = False,
        project: ProjectLike | None = None,
        **parameters: Any,
    ) -> ChatReply: ...

    @overload
    def chat(
        self,
        deployment: DeploymentLike,
        messages: Messages,
        *,
        stream: Literal[True],
        base: bool = False,
        project: ProjectLike | None = None,
        **parameters: Any,
    ) -> ChatStream: ...

    @overload
    def chat(
        self,
        deployment: DeploymentLike,
        messages: Messages,
        *,
        stream: bool,
        base: bool = False,
        project: ProjectLike | None = None,
        **parameters: Any,
    ) -> ChatReply | ChatStream: ...

    def chat(
        self,
        deployment: DeploymentLike,
        messages: Messages,
        *,
        stream: bool = False,
        base: bool = False,
        project: ProjectLike | None = None,
        **parameters: Any,
    ) -> ChatReply | ChatStream:
        """Send messages to a deployment and return its answer.

        Args:
            deployment: the deployment; or ``name@version`` or ``name@alias`` of a model, see
                :meth:`serving`.
            messages: a question, or a conversation as a list of ``{"role": …, "content": …}``.
            stream: return the answer in pieces while it is generated.
            base: send the messages to the base model, without the adapter.
            project: the project in which to look up a name.
            parameters: ``max_tokens``, ``temperature`` and other parameters of OpenAI's API.
        """
        # Use the uuid: deployments of two projects may have the same name.
        if isinstance(deployment, str) and "@" in deployment:
            deployment = self.serving(deployment, project=project)
        model = str(self.resolve(deployment, project)) + (":base" if base else "")
        body = chat_body(model, messages, stream=stream, parameters=parameters)
        if stream:
            return ChatStream(self._http, body)
        answer = self._http.request("POST", CHAT, json=body, read_timeout=ANSWER_SECONDS)
        return reply_from(decoded(answer))

    def path(self, deployment: DeploymentLike, project: ProjectLike | None = None) -> str:
        """Return the path of the deployment in the API."""
        return f"deployments/{self.resolve(deployment, project)}"

    def resolve(self, deployment: DeploymentLike, project: ProjectLike | None = None) -> UUID:
        """Return the uuid of a deployment.

        Raises:
            NotFound: if no deployment of the project has this name.
        """
        if isinstance(deployment, Deployment):
            return deployment.uuid
        uuid = as_uuid(deployment)
        if uuid is not None:
            return uuid
        name = str(deployment)
        pages = partial(self.list, project=project)
        return find_by_name(pages, name, "deployment", "in this project").uuid

    def find(self, name: str, *, project: ProjectLike | None = None) -> Deployment | None:
        """Return the deployment with this name in a project, or ``None``."""
        for deployment in self.list(project=project, name=name):
            if deployment.name == name:
                return deployment
        return None

    def serving(self, model: ModelLike, *, project: ProjectLike | None = None) -> Deployment:
        """Return the deployment of a project that serves a version of a model.

        If there are several, those that are ready take precedence, then those that already serve
        the version, then the oldest. A deployment that follows the alias ``model`` is included,
        even while it is being updated to the version.

        Raises:
            NotFound: if no deployment of the project serves the model.
        """
        uuid = Models(self._client).resolve(model, project)
        found = [
            deployment
            for deployment in self.list(project=project)
            if deployment.model == uuid or deployment.follows == model
        ]
        if not found:
            raise NotFound(
                tr("no deployment in this project serves {model}", model=model),
                code="client.no_such_name",
                hint=tr("Deploy it: aiplatform deploy create {model:quoted}", model=model),
            )
        # The list is sorted newest first.
        return min(
            reversed(found),
            key=lambda each: (each.status is not DeploymentStatus.READY, each.model != uuid),
        )

    def _meant(self, model: ModelLike, project: ProjectLike | None, *, follow: bool) -> UUID | str:
        """Return the uuid of a model or, with ``follow``, its alias unchanged."""
        return str(model) if follow else Models(self._client).resolve(model, project)

    def _act(
        self, deployment: DeploymentLike, action: str, project: ProjectLike | None
    ) -> Deployment:
        path = self.path(deployment, project)
        answer = self._http.post(f"{path}/{action}")
        return self._make(Deployment, answer) if answer else self._get(Deployment, path)

    def list(
        self, *, project: ProjectLike | None = None, limit: int | None = None, **filters: Any
    ) -> Pages[Deployment]:
        """List the deployments of a project."""
        path = f"{Projects(self._client).path(project)}/deployments"
        return self._pages(Deployment, path, limit=limit, **filters)
