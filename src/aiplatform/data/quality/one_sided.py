"""Check for unpaired preferences whose answers are all good or all bad."""

import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.errors import Words
from aiplatform.data.quality.check import Check, Context, Finding, Severity
from aiplatform.protocol.enums import DataShape


class OneSided(Check):
    """A check for unpaired preferences without good answers, or without bad ones."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._labelled = context.shape is DataShape.UNPAIRED_PREFERENCE
        self._labels: set[bool] = set()

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:  # noqa: ARG002
        if self._labelled and len(self._labels) < 2:
            self._labels.update(pc.unique(batch.column("label").drop_null()).to_pylist())

    def findings(self) -> list[Finding]:
        if len(self._labels) != 1:
            return []
        is_good = True in self._labels
        return [
            Finding(
                "one_sided",
                Severity.ERROR,
                self.context.rows,
                Words(
                    "all answers are labelled good" if is_good else "all answers are labelled bad",
                    "所有回答都标为好" if is_good else "所有回答都标为差",
                ),
                Words(
                    "There is no difference to learn, so training refuses this dataset.",
                    "没有可学习的差别，因此无法用该数据集训练。",
                ),
                column="label",
            )
        ]
