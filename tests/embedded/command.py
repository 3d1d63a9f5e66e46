"""A command line for embedded mode that runs fake programs in place of the platform's own."""

import sys
from pathlib import Path

import typer

from aiplatform.cli import platform
from aiplatform.embedded import supervisor

FAKE_PROGRAMS = str(Path(__file__).with_name("fake_programs.py"))


def fake_command(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, FAKE_PROGRAMS, name, *arguments)


supervisor._aiplatform_command = fake_command

app = typer.Typer()
for command in (platform.up, platform.down, platform.status, platform.doctor):
    app.command()(command)

if __name__ == "__main__":
    app()
