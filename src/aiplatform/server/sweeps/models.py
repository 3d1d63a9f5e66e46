"""Tables for sweeps and their trials."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Double, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, Identified, Updated


class Sweep(Identified, Updated, Base):
    """A sweep; ``spec`` is a :class:`~aiplatform.protocol.sweeps.SweepSpec`.

    ``error`` is the reason why no more trials are started. Trials start with the permissions of
    ``created_by``, limited to the scopes of the API key that created the sweep, if any.
    """

    __tablename__ = "sweeps"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"))
    name: Mapped[str] = mapped_column(String(200))
    spec: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(20))
    error: Mapped[str | None] = mapped_column(Text)
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    # There is no foreign key, because deleting an API key must not remove the limit set by its
    # scopes.
    key_id: Mapped[int | None] = mapped_column(BigInteger)
    ended_at: Mapped[datetime | None]


class SweepTrial(Base):
    """A trial of a sweep: a choice of parameters and its result.

    ``rungs`` are the trial's metric values at the steps where ASHA (the pruning method) compared
    trials.
    """

    __tablename__ = "sweep_trials"

    sweep_id: Mapped[int] = mapped_column(ForeignKey("sweeps.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id"))
    params: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(20))
    value: Mapped[float | None] = mapped_column(Double)
    rungs: Mapped[list[Any]] = mapped_column(server_default="[]")
    error: Mapped[str | None] = mapped_column(Text)
