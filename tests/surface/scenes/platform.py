"""Commands that run the platform or read its database, each in a process of its own."""

from tests.surface.stage import Stage, scene


@scene("db check", "db rotate-keys", "db upgrade", "doctor", "status", "tasks top")
def looking_at_the_platform(stage: Stage) -> None:
    stage.process("status")
    stage.process("doctor")
    stage.process("db", "check")
    stage.process("db", "upgrade")
    stage.process("db", "rotate-keys")
    stage.told("tasks", "top")


@scene("audit archive", "audit keygen", "audit seal", "audit verify")
def sealing_the_audit_trail(stage: Stage) -> None:
    stage.process("audit", "keygen", str(stage.tmp / "seal.key"))
    stage.process("audit", "seal", "--key", str(stage.tmp / "seal.key"))
    stage.process("audit", "verify")
    stage.process("audit", "archive", "--days", "0")
