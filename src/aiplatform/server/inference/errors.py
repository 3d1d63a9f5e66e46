"""Errors about deployments, which the API returns as problem documents."""

from aiplatform.server.core.errors import Conflict


class WrongDeploymentState(Conflict):
    """The current state of the deployment does not allow the action."""

    code = "deployment.wrong_state"


class DeploymentWaiting(Conflict):
    """The deployment can't be restarted: its server waits for other tasks and has not started."""

    code = "deployment.waiting"


class DeployedModelGone(Conflict):
    """The deployment's model has been deleted from the registry."""

    code = "deployment.model_gone"


class DeploymentNamesShared(Conflict):
    """The new owner of the project already has deployments with the same names."""

    code = "deployment.names_shared"


class DeploymentUpdating(Conflict):
    """Another update of the deployment is in progress."""

    code = "deployment.updating"
