"""Control groups, which limit a script's memory and number of processes, and can kill them all.

Linux has two versions of control groups, and a machine may use both. Version 2 has a single tree of
groups; version 1 has one tree per controller. A script gets a group with the same name in every
tree, and each group enforces the limits that its controllers support.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

MIB = 1 << 20
CONTROLLERS = ("memory", "pids")
MOUNTS = Path("/proc/self/mountinfo")
OWN_GROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class Tree:
    """A directory in which this process may create groups, and the controllers of these groups."""

    path: Path
    version: int
    controllers: frozenset[str]


class Group:
    """The control group of a script. If there are no trees, it has no effect."""

    def __init__(self, name: str, trees: list[Tree], *, memory_mb: int = 0, processes: int = 0):
        self.name = name
        self._directories: list[tuple[Tree, Path]] = []
        self._not_joined: set[Path] = set()
        for tree in trees:
            path = tree.path / name
            with suppress(OSError):
                path.mkdir()
                if is_usable(path):
                    self._directories.append((tree, path))
                else:
                    path.rmdir()
        self.limits_memory = bool(memory_mb) and self._limit_memory(memory_mb * MIB)
        self.limits_processes = bool(processes) and self._limit_processes(processes)

    @classmethod
    def existing(cls, name: str) -> Self:
        """Return the group of this name that an earlier process left behind."""
        group = cls(name, [])
        group._directories = [
            (tree, tree.path / name) for tree in trees() if (tree.path / name).is_dir()
        ]
        return group

    @property
    def join_files(self) -> list[str]:
        """The files to which a process writes ``0`` to join the group."""
        return [str(path / "cgroup.procs") for _, path in self._directories]

    def record_join_failure(self, join_file: str) -> None:
        """Record that a process could not join the group of ``join_file``.

        The group doesn't limit that process, so the usage of the process has to be measured.
        """
        self._not_joined.add(Path(join_file).parent)
        controllers = {
            name
            for tree, path in self._directories
            if path in self._not_joined
            for name in tree.controllers
        }
        self.limits_memory = self.limits_memory and "memory" not in controllers
        self.limits_processes = self.limits_processes and "pids" not in controllers

    @property
    def versions(self) -> dict[str, int]:
        """The control group version for each controller, and for ``kill`` if a group can kill."""
        joined = [(tree, path) for tree, path in self._directories if path not in self._not_joined]
        found = {name: tree.version for tree, _ in joined for name in tree.controllers}
        for tree, path in joined:
            if (path / "cgroup.kill").exists() or (
                "pids" in tree.controllers and "kill" not in found
            ):
                found["kill"] = tree.version
        return found

    def members(self) -> set[int]:
        """Return the process ids of the members that are still running."""
        return {pid for _, path in self._directories for pid in _pids(path)}

    def ran_out_of_memory(self) -> bool:
        """Return True if the system has killed a member for exceeding the group's memory limit."""
        for tree, path in self._directories:
            if "memory" in tree.controllers:
                name = "memory.events" if tree.version == 2 else "memory.oom_control"
                with suppress(OSError, ValueError):
                    counts = dict(line.split() for line in (path / name).read_text().splitlines())
                    if int(counts.get("oom_kill", 0)):
                        return True
        return False

    def kill(self) -> None:
        """Send SIGKILL to all members. If the group limits processes, none can fork afterwards."""
        for tree, path in self._directories:
            if "pids" in tree.controllers:
                _write(path / "pids.max", "0")
            _write(path / "cgroup.kill", "1")
        for pid in self.members():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def remove(self) -> bool:
        """Remove the group's directories; return False if processes remain in them."""
        gone = True
        for _, path in self._directories:
            try:
                path.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                gone = False
        return gone

    def _limit_memory(self, limit: int) -> bool:
        for tree, path in self._directories:
            if "memory" not in tree.controllers:
                continue
            if tree.version == 2:
                _write(path / "memory.swap.max", "0")
                return _write(path / "memory.max", str(limit))
            bounded = _write(path / "memory.limit_in_bytes", str(limit))
            # This limits memory and swap together; the file exists only if swap is accounted for.
            _write(path / "memory.memsw.limit_in_bytes", str(limit))
            return bounded
        return False

    def _limit_processes(self, limit: int) -> bool:
        for tree, path in self._directories:
            if "pids" in tree.controllers:
                return _write(path / "pids.max", str(limit))
        return False


def trees() -> list[Tree]:
    """Return the trees in which this process may create groups, with each controller only once."""
    found: list[Tree] = []
    seen: set[str] = set()
    for kind, mount, root, options in _mounts():
        if kind == "cgroup2":
            found.append(_version_2_tree(_own_group(mount, root, "")))
        else:
            names = frozenset(CONTROLLERS) & set(options) - seen
            if names:
                path = _own_group(mount, root, next(iter(names)))
                found.append(Tree(path, 1, frozenset(names)))
        seen.update(*(tree.controllers for tree in found))
    return [tree for tree in found if os.access(tree.path, os.W_OK)]


def is_usable(group: Path) -> bool:
    """Return False if no process can join a group because its parent is a threaded group."""
    with suppress(OSError):
        return (group / "cgroup.type").read_text().strip() != "domain invalid"
    return True


def _version_2_tree(own: Path) -> Tree:
    """Return the nearest version 2 group whose children can have limits, or else ``own``.

    A group that contains processes can't pass controllers on to its children unless it is the root.
    Even without controllers, a child group can kill all its processes in one step.
    """
    for path in _delegated_ancestors(own):
        for attempt in range(2):
            with suppress(OSError):
                enabled = set((path / "cgroup.subtree_control").read_text().split())
                if enabled.issuperset(CONTROLLERS):
                    return Tree(path, 2, frozenset(CONTROLLERS))
            if attempt == 0:
                # Write both in one step, so that the kernel accepts both or neither. With pids
                # alone, the group would become a threaded group, and no process could join its
                # children.
                wanted = " ".join(f"+{name}" for name in CONTROLLERS)
                _write(path / "cgroup.subtree_control", wanted)
    return Tree(own, 2, frozenset())


def _delegated_ancestors(own: Path) -> list[Path]:
    """Return a group and its ancestors up to the nearest one delegated to this process.

    If none was delegated, only the group itself is returned, because its ancestors belong to the
    system's manager, such as systemd.
    """
    found: list[Path] = []
    for path in (own, *own.parents):
        if not (path / "cgroup.procs").exists():
            break
        found.append(path)
        if is_delegated(path):
            return found
    return [own]


def is_delegated(group: Path) -> bool:
    """Return True if systemd or another manager has marked a group as delegated."""
    for name in ("trusted.delegate", "user.delegate"):
        with suppress(OSError):
            if os.getxattr(group, name) == b"1":
                return True
    return False


def _mounts() -> Iterator[tuple[str, Path, str, list[str]]]:
    """Yield the type, mount point, root and options of each mounted tree."""
    with suppress(OSError):
        for line in MOUNTS.read_text().splitlines():
            mount, _, system = line.partition(" - ")
            kind, _, options = system.split(" ", 2)
            if kind in {"cgroup", "cgroup2"}:
                fields = mount.split()
                yield kind, Path(fields[4]), fields[3], options.split(",")


def _own_group(mount: Path, root: str, controller: str) -> Path:
    """Return the directory of this process's own group below a mount point."""
    with suppress(OSError):
        for line in OWN_GROUPS.read_text().splitlines():
            _, names, path = line.split(":", 2)
            if controller in names.split(","):
                below = os.path.relpath(path, root)
                found = mount if below.startswith("..") else mount / below
                return found if found.is_dir() else mount
    return mount


def _pids(path: Path) -> set[int]:
    with suppress(OSError):
        return {int(pid) for pid in (path / "cgroup.procs").read_text().split() if pid != "0"}
    return set()


def _write(path: Path, text: str) -> bool:
    """Write to a kernel file; return False if it doesn't exist or the kernel refuses the write."""
    try:
        descriptor = os.open(path, os.O_WRONLY)
    except OSError:
        return False
    try:
        return os.write(descriptor, text.encode()) > 0
    except OSError:
        return False
    finally:
        os.close(descriptor)
