"""Errors about deployments, as they are answered to clients."""

from aiplatform.server.core.errors import Conflict


class WrongDeploymentState(Conflict):
    """An action that the current state of the deployment does not allow."""

    code = "deployment_state"
    title = {"en": "Not possible in this state", "zh": "当前状态不允许此操作"}
    detail = {
        "en": "The deployment is {state}, so it can't be {action}. Wait until its state "
        "changes, and try again.",
        "zh": "部署当前状态为 {state}，无法{action}。请等待状态变化后重试。",
    }


class DeploymentWaiting(Conflict):
    """An attempt to restart a deployment whose server waits for other tasks and has not started."""

    code = "deployment_waits"
    title = {"en": "The deployment is waiting", "zh": "正在等待其他任务"}
    detail = {
        "en": "The deployment is waiting for other tasks, so there is nothing to restart. To "
        "serve without waiting, stop it and start it.",
        "zh": "该部署正在等待其他任务，尚无可重启的服务。若不想等待，请先停止再启动。",
    }


class DeployedModelGone(Conflict):
    """A deployment whose model was deleted from the registry after it was deployed."""

    code = "deployed_model_gone"
    title = {"en": "Model deleted", "zh": "模型已删除"}
    detail = {
        "en": "The model of this deployment was deleted. Update the deployment to another "
        "model, or create a new one.",
        "zh": "该部署的模型已被删除，请将部署更新为其他模型，或新建部署。",
    }


class DeploymentNamesShared(Conflict):
    """A transfer of a project whose deployments have the same names as others of the new owner."""

    code = "deployment_names_shared"
    title = {"en": "Deployment name in use", "zh": "部署名称已被使用"}
    detail = {
        "en": "{username} owns deployments with the same names as deployments of {project}: "
        "{names}. A chat request with such a name could reach the wrong one. Delete "
        "these deployments first, or ask an administrator to transfer the project.",
        "zh": "{username} 拥有与项目“{project}”同名的部署：{names}。"
        "对方按名称发出的聊天请求可能到达另一个部署。请先删除这些部署，或请管理员转让项目。",
    }


class DeploymentUpdating(Conflict):
    """An attempt to update a deployment while another update is under way."""

    code = "deployment_updating"
    title = {"en": "Update under way", "zh": "正在更新"}
    detail = {
        "en": "The deployment is already being updated to {model}. Wait until this is done, "
        "or cancel its task {task} to give it up.",
        "zh": "该部署正在更新到 {model}。请等待更新完成，或取消任务 {task} 以放弃本次更新。",
    }
