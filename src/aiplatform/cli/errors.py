"""Errors from commands: one line of text, a hint, and an exit code."""

import json
import os
import sys
from enum import IntEnum
from http import HTTPStatus
from typing import Any

from aiplatform.language import tr


class ExitCode(IntEnum):
    """An exit code of the program. Scripts rely on these codes, so their meaning never changes."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 3
    NOT_LOGGED_IN = 4
    TASK_FAILED = 5
    INTERNAL = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141


EXIT_CODES = (
    "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 server not reachable, "
    "4 not logged in, 5 the task did not succeed, 130 interrupted."
)


class CommandError(Exception):
    """The command cannot run because of a problem on this machine."""

    def __init__(self, message: str, hint: str = "", exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.hint = hint
        self.exit_code = exit_code


def report(error: Exception) -> ExitCode:
    """Print an error, and return the exit code."""
    from pydantic import ValidationError

    from aiplatform.client import (
        AmbiguousName,
        ApiError,
        ClientError,
        ServerUnavailable,
        TaskFailed,
        Unauthenticated,
    )

    match error:
        case CommandError():
            return _print_error(str(error), error.hint, error.exit_code)
        case Unauthenticated():
            return _print_api_error(error, ExitCode.NOT_LOGGED_IN)
        case ServerUnavailable():
            return _print_api_error(error, ExitCode.UNAVAILABLE)
        case ApiError(code="request.invalid_filter" | "dataset.invalid_condition"):
            return _print_api_error(error, ExitCode.USAGE)
        case ApiError():
            if error.status == HTTPStatus.NOT_FOUND and error.params.get("resource") == "project":
                _explain_remembered_project(error)
            return _print_api_error(error, ExitCode.FAILED)
        case TaskFailed():
            return _print_error(str(error), error.hint, ExitCode.TASK_FAILED)
        case AmbiguousName():
            return _print_error(str(error), error.hint, ExitCode.USAGE)
        case ClientError():
            return _print_error(str(error), error.hint, ExitCode.FAILED)
        case ValidationError():
            return _print_error(_fields(error), "", ExitCode.USAGE)
        case ValueError() if type(error).__name__ == "SettingsError":
            # The class belongs to a package that a client need not have installed.
            return _print_error(str(error), "", ExitCode.USAGE)
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return _print_error(f"{where}{error.strerror or error}", "", ExitCode.FAILED)
    if os.environ.get("AIPLATFORM_DEBUG"):
        raise error
    return _print_error(
        tr("internal error: {name}: {error}", name=type(error).__name__, error=error),
        tr("This is a fault of the program. AIPLATFORM_DEBUG=1 shows where; please report it."),
        ExitCode.INTERNAL,
    )


def quiet_stdout() -> None:
    """Prevent the interpreter from printing an error about a closed pipe when it exits."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())


def _explain_remembered_project(error: Any) -> None:
    """If the project is gone, explain that it was chosen by `projects use`."""
    from aiplatform.cli.session import remembered_project

    name = remembered_project()
    if name is not None:
        error.hint = tr(
            "The project {name}, chosen by `aiplatform projects use`, was deleted, or you have "
            "no access to it any more. Choose another: aiplatform projects use NAME, or forget "
            "it: aiplatform projects use --none",
            name=name,
        )


def _print_api_error(error: Any, code: ExitCode) -> ExitCode:
    facts = {"code": error.code, "status": error.status, "title": error.title, **error.params}
    return _print_error(str(error), error.hint, code, facts)


def _print_error(
    message: str, hint: str, code: ExitCode, facts: dict[str, Any] | None = None
) -> ExitCode:
    from aiplatform.cli.output import console, plain

    if "--json" in sys.argv:
        body = {"message": message, "hint": tr(hint), "exit_code": int(code), **(facts or {})}
        sys.stderr.write(json.dumps({"error": body}, ensure_ascii=False, default=str) + "\n")
        return code
    from rich.text import Text

    hint = tr(hint)  # A hint that is a class constant is not translated yet.
    out = console(stderr=True)
    label = "" if code is ExitCode.INTERRUPTED else tr("Error: ")
    out.print(Text(label, style="bold red").append(plain(message), style="not bold default"))
    if hint:
        out.print(Text(plain(hint), style="dim"))
    return code


def _fields(error: Any) -> str:
    """Return the errors found by pydantic, on one line."""
    from aiplatform.protocol.validation_errors import error_text

    faults = error.errors(include_url=False)
    return "; ".join(error_text(fault) for fault in faults[:5])
