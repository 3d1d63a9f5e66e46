"""Registration of handlers that connect the domains, for the API and for workers."""

import importlib.util
import pkgutil

import aiplatform.server
from aiplatform.server.audit import queries as audit_queries
from aiplatform.server.core import encryption, garbage_collection
from aiplatform.server.core.encryption import Rotated
from aiplatform.server.datasets import jobs as datasets_jobs
from aiplatform.server.datasets import queries as datasets_queries
from aiplatform.server.datasets.service import quality
from aiplatform.server.datasets.service.commits import BinnedDatasets
from aiplatform.server.experiments import jobs as experiments_jobs
from aiplatform.server.experiments import queries as experiments_queries
from aiplatform.server.identity import queries as identity_queries
from aiplatform.server.identity import service as identity_service
from aiplatform.server.inference import jobs as inference_jobs
from aiplatform.server.inference.service import follow_alias, refuse_shared_names
from aiplatform.server.notifications import service as notifications_service
from aiplatform.server.projects import queries as projects_queries
from aiplatform.server.projects import service as projects_service
from aiplatform.server.projects.service.bin import register_kind
from aiplatform.server.queue.queries import tasks as tasks_queries
from aiplatform.server.queue.service import cancel_project_tasks, stop_author_tasks
from aiplatform.server.registry import jobs as registry_jobs
from aiplatform.server.registry import queries as registry_queries
from aiplatform.server.registry import service as registry_service
from aiplatform.server.registry.service.deletion import BinnedModels
from aiplatform.server.schedules import jobs as schedules_jobs
from aiplatform.server.schedules.service import switch_off_schedules
from aiplatform.server.scripts import jobs as scripts_jobs
from aiplatform.server.sweeps import jobs as sweeps_jobs
from aiplatform.server.sweeps.service import stop_author_sweeps


def compose() -> None:
    """Register the callbacks through which lower domains trigger actions in higher ones."""
    for domain in (
        datasets_jobs,
        registry_jobs,
        experiments_jobs,
        scripts_jobs,
        inference_jobs,
        schedules_jobs,
        sweeps_jobs,
    ):
        domain.register()
    publish_views()
    quality.on_base_model_use(registry_service.use_model)
    projects_service.on_delete(cancel_project_tasks)
    projects_service.on_transfer(refuse_shared_names)
    registry_service.on_alias_move(follow_alias)
    identity_service.on_user_delete(projects_service.transfer_projects_of)
    # Schedules and sweeps come first, because they would submit the cancelled tasks again.
    for stop in (switch_off_schedules, stop_author_sweeps, stop_author_tasks):
        identity_service.on_deactivation(stop)
    identity_service.on_management(projects_service.has_more_permissions)
    identity_service.on_invitation(
        projects_service.check_invitation,
        projects_service.join_invited,
        projects_service.describe_projects,
    )
    identity_service.on_security_event(notifications_service.announce_security_event)
    identity_service.on_link(notifications_service.send_link)
    projects_service.on_archive(cancel_project_tasks)
    for kind in (BinnedDatasets(), BinnedModels()):
        register_kind(kind)


def publish_views() -> None:
    """Publish columns of higher domains for use in the SQL statements of lower domains."""
    garbage_collection.ARCHIVES.publish(audit_queries.list_archive_hashes())
    identity_queries.MEMBERSHIPS.publish(projects_queries.list_memberships())
    projects_queries.VERSIONS.publish(datasets_queries.list_version_datasets())
    tasks_queries.EXPERIMENTS.publish(experiments_queries.list_experiment_uuids())
    tasks_queries.MODELS.publish(registry_queries.list_model_uuids())
    registry_queries.DATASETS.publish(datasets_queries.list_dataset_uuids())
    registry_queries.VERSIONS.publish(datasets_queries.list_version_uuids())
    registry_queries.EXPERIMENTS.publish(experiments_queries.list_experiment_names())


def rotate_keys(*, new_key: bool = False) -> list[Rotated]:
    """Re-encrypt the secrets of all domains; see :func:`aiplatform.server.core.encryption.rotate`.

    Raises:
        KeyFileUnusable: the message says what is wrong with the key file.
    """
    for domain in pkgutil.iter_modules(aiplatform.server.__path__):
        # Rotation finds the columns through the models, so all domains must be imported.
        if domain.ispkg and importlib.util.find_spec(f"aiplatform.server.{domain.name}.models"):
            importlib.import_module(f"aiplatform.server.{domain.name}.models")
    return encryption.rotate(new_key=new_key)
