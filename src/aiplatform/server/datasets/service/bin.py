"""Restoring and purging datasets in the bin."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.errors import NameTaken
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.projects.models import BinEntry
from aiplatform.server.projects.service.bin import BinKind, restore_under_free_name


class BinnedDatasets(BinKind):
    """The bin's operations on datasets: restore and purge."""

    kind = "dataset"
    reads = Permission.DATASETS_READ
    writes = Permission.DATASETS_WRITE

    def restore(self, session: Session, entry: BinEntry, name: str | None) -> str:
        """Restore a dataset; see :class:`BinKind`."""
        dataset = _lock_dataset(session, entry)

        def take(wanted: str) -> None:
            dataset.project_id, dataset.name = entry.project_id, wanted

        name = None if name is None else clean_text(name)
        taken = NameTaken(resource="dataset", name=name or entry.name)
        return restore_under_free_name(session, clean_text(entry.name), name, take, taken)

    def purge(self, session: Session, entry: BinEntry) -> None:
        """Delete a dataset for good; see :class:`BinKind`."""
        dataset = _lock_dataset(session, entry)
        session.expunge(dataset)
        session.execute(delete(Dataset).where(Dataset.id == dataset.id))


def _lock_dataset(session: Session, entry: BinEntry) -> Dataset:
    return session.scalars(
        select(Dataset)
        .where(Dataset.id == entry.dataset_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
