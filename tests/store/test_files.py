"""Where the database lies: who may read it and what is refused."""

import logging
import os
import stat
from pathlib import Path

import pytest
from tests.store.examples import intent, key_row

from dynaroute_mcp.errors import StoreCorrupt, StoreUnavailable
from dynaroute_mcp.store import files
from dynaroute_mcp.store.sqlite import open_store


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


async def test_nobody_else_may_read_the_folder_or_any_file_whatever_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    before = os.umask(0)
    try:
        async with open_store(folder / "dynaroute.db") as store:
            await store.begin(intent(), [])
            modes = {file.name: mode_of(file) for file in folder.iterdir()}
    finally:
        os.umask(before)

    endings = ("", "-wal", "-shm", "-lock", "-turn")
    assert modes == {f"dynaroute.db{ending}": 0o600 for ending in endings}
    assert mode_of(folder) == 0o700


async def test_a_database_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "dynaroute.db"
    path.touch(mode=0o666)
    path.chmod(0o666)
    async with open_store(path) as store:
        await store.begin(intent(), [])

    assert mode_of(path) == 0o600


async def test_a_file_of_another_program_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "passwd"
    path.write_text("root:x:0:0\n" * 100)
    path.chmod(0o644)
    async with open_store(path) as store:
        with pytest.raises(StoreCorrupt, match="not a database"):
            await store.begin(intent(), [])

    assert mode_of(path) == 0o644


async def test_a_pipe_or_device_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o622)
    path.chmod(0o622)
    async with open_store(path) as store:
        with pytest.raises(StoreUnavailable, match="is no file"):
            await store.begin(intent(), [])

    assert mode_of(path) == 0o622
    assert names_in(tmp_path) == ["pipe"]


async def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_text("mine")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "dynaroute.db").symlink_to(foreign)
    async with open_store(folder / "dynaroute.db") as store:
        with pytest.raises(StoreUnavailable, match="outside its folder"):
            await store.begin(intent(), [])
        with pytest.raises(StoreUnavailable, match="outside its folder"):
            await store.find_key(b"")

    assert foreign.read_text() == "mine"


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-lock", "-turn"])
async def test_a_link_beside_the_database_is_refused_too(tmp_path: Path, ending: str) -> None:
    foreign = tmp_path / "foreign"
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / f"dynaroute.db{ending}").symlink_to(foreign)
    async with open_store(folder / "dynaroute.db") as store:
        with pytest.raises(StoreUnavailable, match="outside its folder"):
            await store.begin(intent(), [])

    assert not foreign.exists()


async def test_a_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.db").touch()
    (tmp_path / "dynaroute.db").symlink_to(tmp_path / "real.db")
    async with open_store(tmp_path / "dynaroute.db") as store:
        await store.add_key(key_row())

        assert await store.find_key(key_row().digest) == key_row()


async def test_a_directory_is_refused_in_words(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        with pytest.raises(StoreUnavailable, match="is a directory; set DYNAROUTE_DATABASE"):
            await store.find_key(b"")


async def test_a_folder_that_can_not_be_made_is_told_and_nothing_else_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with open_store(tmp_path / "file" / "dynaroute.db") as store:
        with pytest.raises(
            StoreUnavailable, match=r"dynaroute\.db: it can't be opened; check that its folder"
        ):
            await store.begin(intent(), [])


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    table = tmp_path / "mounts"
    table.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/home {tmp_path}/home nfs4 rw 0 0\n")
    monkeypatch.setattr(files, "_MOUNTS", table)
    return table


def test_a_network_file_system_is_named(tmp_path: Path, mounts: Path) -> None:
    assert files.network_file_system(tmp_path / "home" / "dynaroute.db") == "nfs4"
    assert files.network_file_system(tmp_path / "homework" / "dynaroute.db") is None


def test_without_a_table_of_mounts_no_network_file_system_is_claimed(mounts: Path) -> None:
    mounts.unlink()

    assert files.network_file_system(Path("/home/dynaroute.db")) is None


async def test_a_database_on_a_network_file_system_is_warned_about(
    tmp_path: Path, mounts: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with open_store(tmp_path / "home" / "dynaroute.db") as store:
        await store.begin(intent(), [])

    assert "network file system" in caplog.text
