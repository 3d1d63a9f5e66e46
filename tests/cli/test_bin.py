"""Tests of ``aiplatform bin``."""

import json

from tests.cli.conftest import D, E, M, P, Run, T, posted
from tests.client.fake import FakeServer, answer, page


class TestBin:
    ITEM = {
        "uuid": D, "kind": "dataset", "name": "faq", "version": None, "shared": False,
        "bytes": 2500, "deleted_by": {"uuid": T, "username": "lin"},
        "deleted_at": "2026-11-01T00:00:00Z", "purge_after": "2026-12-01T12:30:00Z",
    }  # fmt: skip

    def test_rm_prints_until_when_it_can_be_restored(self, run: Run, world: FakeServer) -> None:
        until = "2026-12-01T12:30:00+00:00"
        world.on(f"DELETE datasets/{D}", answer(status=204, Purge_After=until))
        world.on(f"DELETE models/{M}", answer(status=204))
        said = run("datasets", "rm", "faq", "--yes").err
        assert "Deleted the dataset faq. Until 2026-12-01 12:30 UTC" in said
        assert json.loads(run("datasets", "rm", "faq", "--yes", "--json").out) == {
            "uuid": D, "done": True, "purge_after": until
        }  # fmt: skip
        assert "Permanently deleted" in run("models", "rm", "base", "--yes").err

    def test_bin_lists_restores_and_purges_by_name(self, run: Run, world: FakeServer) -> None:
        world.on(f"GET projects/{P}/bin", page(self.ITEM))
        restored = {"uuid": D, "kind": "dataset", "name": "faq-2", "version": None}
        world.on(f"POST projects/{P}/bin/{D}/restore", answer(restored))
        world.on(f"DELETE projects/{P}/bin/{D}", answer(status=204))
        listed = run("bin", "ls").out
        for shown in ("dataset", "faq", "2.5 kB", "lin", "2026-12-01 12:30"):
            assert shown in listed
        assert "faq-2" in run("bin", "restore", "faq", "--name", "faq-2").out
        assert posted(world, "/restore") == {"name": "faq-2"}
        assert run("bin", "purge", "faq", "--yes").code == 0
        assert world.count(f"DELETE projects/{P}/bin/{D}") == 1
        misspelt = run("bin", "restore", "fak")
        assert (misspelt.code != 0, "faq" in misspelt.err) == (True, True)

    def test_bin_restore_takes_versions_as_bin_ls_prints_them(
        self, run: Run, world: FakeServer
    ) -> None:
        one, two = ({**self.ITEM, "kind": "model", "name": "tuned", "uuid": uuid, "version": number}
                    for uuid, number in ((M, "1"), (E, "2")))  # fmt: skip
        world.on(f"GET projects/{P}/bin", page(one, two, self.ITEM))
        restored = {"uuid": E, "kind": "model", "name": "tuned", "version": "2"}
        world.on(f"POST projects/{P}/bin/{E}/restore", answer(restored))
        assert "tuned@2" in run("bin", "ls").out
        ran = run("bin", "restore", "tuned@2")
        assert ran.code == 0, ran.err
        assert "tuned@1, tuned@2" in run("bin", "restore", "tuned@3").err
        assert M in run("bin", "restore", "tuned").err

    def test_bin_commands_with_projects_option(self, run: Run, world: FakeServer) -> None:
        gone = {**self.ITEM, "kind": "project", "uuid": E, "name": "old"}
        world.on("GET bin", page(gone))
        restored = {"uuid": E, "kind": "project", "name": "old", "version": None}
        world.on(f"POST bin/{E}/restore", answer(restored))
        world.on(f"DELETE bin/{E}", answer(status=204))
        assert "old" in run("bin", "ls", "--projects").out
        assert "old" in run("projects", "restore", "old").out
        assert run("bin", "restore", "old", "--projects").code == 0
        assert run("bin", "purge", "old", "--projects", "--yes").code == 0
        assert (world.count(f"POST bin/{E}/restore"), world.count(f"DELETE bin/{E}")) == (2, 1)
