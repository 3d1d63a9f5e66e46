"""The command line of embedded mode, with fake programs in place of the platform's own."""

import sys
from pathlib import Path

import typer

from aiplatform.cli import platform
from aiplatform.embedded import supervisor

STAND_INS = str(Path(__file__).with_name("stand_ins.py"))


def program(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, STAND_INS, name, *arguments)


supervisor._program = program

app = typer.Typer()
for command in (platform.up, platform.down, platform.status, platform.doctor):
    app.command()(command)

if __name__ == "__main__":
    app()
