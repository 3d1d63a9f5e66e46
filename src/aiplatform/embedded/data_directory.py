"""Checks of a PostgreSQL data directory: owner, access rights and PostgreSQL version."""

import os
import pwd
import stat
from pathlib import Path

from aiplatform.embedded.binaries import POSTGRES_SETTING, PostgresBinaries, debian_directories
from aiplatform.embedded.errors import (
    EmbeddedError,
    HomeUnusableError,
    WrongDataVersionError,
    from_os_error,
)
from aiplatform.embedded.process import Account, user_name
from aiplatform.language import tr


def server_account(data: Path) -> Account | None:
    """Return the user that PostgreSQL must run as; None means the user of this process.

    PostgreSQL refuses to run as root. If this process runs as root, PostgreSQL runs as the owner of
    the data directory. If there is no such directory, or it belongs to root, PostgreSQL runs as the
    user ``postgres`` or ``nobody``.

    Raises:
        EmbeddedError: If this process runs as root and no other user was found.
        HomeUnusableError: If the data directory belongs to someone else.
    """
    me = os.geteuid()
    try:
        owner: int | None = data.stat().st_uid
    except FileNotFoundError:
        owner = None
    except OSError as error:
        raise from_os_error(error, data) from error
    if me != 0:
        if owner not in {None, me}:
            raise HomeUnusableError(
                tr(
                    "{data} belongs to the user {name}.",
                    data=data,
                    name=user_name(owner or 0),
                ),
                tr("Run `aiplatform up` as that user (or as root), or choose another home."),
            )
        return None
    if owner:
        try:
            entry = pwd.getpwuid(owner)
        except KeyError:
            return Account(owner, data.stat().st_gid, str(owner))
        return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
    raise EmbeddedError(
        tr(
            "PostgreSQL refuses to run as root, and there is neither a user `postgres` nor "
            "`nobody`."
        ),
        tr("Create one of them, or run `aiplatform up` as a normal user."),
    )


def check_version(data: Path, binaries: PostgresBinaries) -> None:
    """Raise an error unless the data directory is missing or has the version of ``binaries``.

    Raises:
        WrongDataVersionError: If another major version of PostgreSQL created it.
    """
    try:
        found = (data / "PG_VERSION").read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return
    except OSError as error:
        raise from_os_error(error, data) from error
    if found == str(binaries.major):
        return
    fitting = [path for path in debian_directories() if path.parent.name == found]
    where = (
        str(fitting[0])
        if fitting
        else tr("the bin directory of a PostgreSQL {version}", version=found)
    )
    go_on = tr(
        "To continue with PostgreSQL {found}, set {setting} to {where}.",
        found=found,
        setting=POSTGRES_SETTING,
        where=where,
    )
    raise WrongDataVersionError(
        tr(
            "{data} was made by PostgreSQL {found}, but {directory} holds PostgreSQL {version}.",
            data=data,
            found=found or "?",
            directory=binaries.directory,
            version=binaries.version,
        ),
        tr(
            "{go_on} To upgrade: run `aiplatform up` with that setting, dump the database with "
            "`pg_dump --format=custom`, run `aiplatform down`, move {data} away, unset the "
            "setting, run `aiplatform up` again, and restore the dump with `pg_restore --clean "
            "--if-exists`.",
            go_on=go_on,
            data=data,
        ),
    )


def check_reachable(directory: Path, account: Account) -> None:
    """Raise an error unless ``account`` can enter ``directory`` and all directories above it.

    Raises:
        HomeUnusableError: If the account can't enter one of them.
    """
    for path in [directory, *directory.parents]:
        found = path.stat()
        bit = (
            stat.S_IXUSR
            if found.st_uid == account.uid
            else stat.S_IXGRP
            if found.st_gid == account.gid
            else stat.S_IXOTH
        )
        if not found.st_mode & bit:
            raise HomeUnusableError(
                tr(
                    "PostgreSQL refuses to run as root, so it runs as {name}, who can't enter "
                    "{path}.",
                    name=account.name,
                    path=path,
                ),
                tr("Choose a home that other users can enter, such as --home /var/lib/aiplatform."),
            )
