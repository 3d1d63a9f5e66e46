"""Errors about deployments, as they are answered to clients."""

from aiplatform.server.core.errors import Conflict


class WrongDeploymentState(Conflict):
    """An action that the current state of the deployment does not allow."""

    code = "deployment.wrong_state"


class DeploymentWaiting(Conflict):
    """An attempt to restart a deployment whose server waits for other tasks and has not started."""

    code = "deployment.waiting"


class DeployedModelGone(Conflict):
    """A deployment whose model was deleted from the registry after it was deployed."""

    code = "deployment.model_gone"


class DeploymentNamesShared(Conflict):
    """A transfer of a project whose deployments have the same names as others of the new owner."""

    code = "deployment.names_shared"


class DeploymentUpdating(Conflict):
    """An attempt to update a deployment while another update is under way."""

    code = "deployment.updating"
