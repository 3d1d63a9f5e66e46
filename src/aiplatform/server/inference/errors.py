"""Errors of requests about deployments. The API answers them as problems."""

from aiplatform.server.core.errors import Conflict


class WrongDeploymentState(Conflict):
    """An action that the current state of the deployment does not allow."""

    code = "deployment.wrong_state"


class DeploymentWaiting(Conflict):
    """An attempt to restart a deployment whose server waits for other tasks and has not started."""

    code = "deployment.waiting"


class DeployedModelGone(Conflict):
    """A start of a deployment whose model was deleted from the registry meanwhile."""

    code = "deployment.model_gone"


class DeploymentNamesShared(Conflict):
    """A transfer of a project to an owner who has deployments with the same names already."""

    code = "deployment.names_shared"


class DeploymentUpdating(Conflict):
    """An attempt to update a deployment while another update is under way."""

    code = "deployment.updating"
