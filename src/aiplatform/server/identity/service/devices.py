"""Notifying users of sign-ins from a program or network that is new for them."""

import hashlib
from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import Actor
from aiplatform.server.core.clients import neighbourhood_of
from aiplatform.server.identity.models import User, UserDevice
from aiplatform.server.identity.service import hooks

MAX_AGENT = 200
DEVICE_LIFETIME = timedelta(days=365)
"""Time after which a device that has not been used to sign in is forgotten."""


def notify_new_device(session: Session, user: User, origin: Actor) -> None:
    """Tell the account's holder of a sign-in from a new device, except for the very first one."""
    device = device_of(origin)
    seen = session.execute(
        update(UserDevice)
        .where(UserDevice.user_id == user.id, UserDevice.device == device)
        .values(seen_at=func.clock_timestamp())
        .returning(UserDevice.user_id)
    ).first()
    if seen is not None:
        return
    mine = UserDevice.user_id == user.id
    # Counted before old devices are deleted: an account that returns after a long time has signed
    # in before.
    known = session.scalars(select(func.count()).select_from(UserDevice).where(mine)).one()
    session.execute(
        delete(UserDevice)
        .where(mine, UserDevice.seen_at < func.clock_timestamp() - DEVICE_LIFETIME)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        insert(UserDevice).values(user_id=user.id, device=device).on_conflict_do_nothing()
    )
    if known:
        hooks.announce_security_event(
            session,
            user,
            "login",
            address=origin.ip_address or "this machine",
            address_zh=origin.ip_address or "本机",
            agent=(origin.user_agent or "an unknown program")[:MAX_AGENT],
        )


def device_of(origin: Actor) -> bytes:
    """Return the hash of an origin's program and network, which identifies a device.

    The network is used because providers change the last part of an address from day to day.
    """
    network = neighbourhood_of(origin.ip_address) or "-"
    return hashlib.sha256(f"{network}|{origin.user_agent or ''}".encode()).digest()
