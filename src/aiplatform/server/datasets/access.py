"""Permission guards for the dataset routes; ``confirm`` repeats the check after a long upload."""

from aiplatform.protocol.permissions import Permission
from aiplatform.server.datasets.models import Dataset, DatasetUpload
from aiplatform.server.projects.access import ProjectGuard, ResourcePath, confirm

DATASET = ResourcePath(Dataset.uuid, Dataset.project_id, "dataset", "dataset")
RESUMABLE = ResourcePath(DatasetUpload.uuid, DatasetUpload.project_id, "upload", "upload")

LIST = ProjectGuard(Permission.DATASETS_READ)
SET_GATE = ProjectGuard(Permission.DATASETS_OVERRIDE, writes=True)
CREATE = ProjectGuard(Permission.DATASETS_WRITE)
READ = ProjectGuard(Permission.DATASETS_READ, DATASET)
WRITE = ProjectGuard(Permission.DATASETS_WRITE, DATASET)
RESUME = ProjectGuard(Permission.DATASETS_WRITE, RESUMABLE)

__all__ = ["CREATE", "DATASET", "LIST", "READ", "RESUME", "SET_GATE", "WRITE", "confirm"]
