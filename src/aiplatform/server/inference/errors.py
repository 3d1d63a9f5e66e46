"""Errors about deployments, which the API returns as problem documents."""

from aiplatform.server.core.errors import Conflict


class WrongDeploymentState(Conflict):
    """An action that the current state of the deployment does not allow."""

    code = "deployment.wrong_state"


class DeploymentWaiting(Conflict):
    """An attempt to restart a deployment whose server waits for other tasks and has not started."""

    code = "deployment.waiting"


class DeployedModelGone(Conflict):
    """A start of a deployment whose model has been deleted from the registry."""

    code = "deployment.model_gone"


class DeploymentNamesShared(Conflict):
    """A transfer of a project to an owner who already has deployments with the same names."""

    code = "deployment.names_shared"


class DeploymentUpdating(Conflict):
    """An attempt to update a deployment while another update is in progress."""

    code = "deployment.updating"
