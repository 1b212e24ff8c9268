"""Model files: found where they should be, verified before use, absent with a remedy."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from trivalent.core import assets
from trivalent.core.assets import (
    REGISTRY,
    Asset,
    Place,
    asset_path,
    cache_folder,
    find,
    sha256_of,
    verify,
)
from trivalent.core.errors import AssetError


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path / "cache"))
    asset_path.cache_clear()


def asset(content: bytes, *, location: tuple[Place, str], pip: str | None = None) -> Asset:
    return Asset(
        "demo",
        hashlib.sha256(content).hexdigest(),
        len(content),
        "MIT",
        "a test",
        "a test",
        (location,),
        pip,
    )


def test_every_entry_is_complete() -> None:
    for name, entry in REGISTRY.items():
        assert entry.name == name
        assert len(entry.sha256) == 64
        assert set(entry.sha256) <= set("0123456789abcdef")
        assert entry.size > 0
        assert all((entry.licence, entry.origin, entry.use, entry.locations))
        assert entry.pip or any(place is Place.PACKAGE for place, _ in entry.locations)


def test_packaged_files_are_what_the_registry_says() -> None:
    packaged = [a for a in REGISTRY.values() if a.locations[0][0] is Place.PACKAGE]
    assert packaged
    for entry in packaged:
        path = asset_path(entry.name)
        assert path.stat().st_size == entry.size
        assert sha256_of(path) == entry.sha256


def test_every_packaged_asset_is_registered() -> None:
    folder = assets.DATA / "assets"
    files = {p.name for p in folder.iterdir() if p.is_file() and p.suffix not in (".py", ".txt", ".md")}
    assert files <= set(REGISTRY), "a model file without licence and sha256"


def test_unknown_name_lists_the_choices() -> None:
    with pytest.raises(AssetError, match=r"expected one of .*got 'nonesuch'; see: trivalent model list"):
        asset_path("nonesuch")
    with pytest.raises(AssetError, match="nonesuch"):
        find("nonesuch")


def test_an_absent_file_names_its_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = asset(b"x", location=(Place.PYPI, "no_such_module_of_ours:data/x"), pip="no-such==1")
    monkeypatch.setitem(REGISTRY, "demo", lost)
    assert find("demo") is None
    with pytest.raises(AssetError, match="found no copy on this machine; run: pip install no-such==1"):
        asset_path("demo")
    asset_path.cache_clear()
    monkeypatch.setitem(REGISTRY, "demo", asset(b"x", location=(Place.PACKAGE, "assets/no-such")))
    with pytest.raises(AssetError, match="run: reinstall trivalent"):
        asset_path("demo")


def test_a_file_of_the_cache_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, "demo", asset(b"weights", location=(Place.CACHE, "demo/file")))
    path = cache_folder() / "demo" / "file"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"other")
    assert find("demo") == (path, Place.CACHE)
    with pytest.raises(AssetError, match=r"expected demo \(cache\) with sha256 .* changed or damaged"):
        asset_path("demo")
    path.write_bytes(b"weights")
    assert asset_path("demo") == path


def test_the_first_place_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = replace(
        asset(b"two", location=(Place.CACHE, "one")), locations=((Place.CACHE, "one"), (Place.CACHE, "two"))
    )
    monkeypatch.setitem(REGISTRY, "demo", twice)
    cache_folder().mkdir(parents=True)
    (cache_folder() / "two").write_bytes(b"two")
    assert asset_path("demo").name == "two"
    asset_path.cache_clear()
    (cache_folder() / "one").write_bytes(b"two")
    assert asset_path("demo").name == "one"


def test_the_check_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, "demo", asset(b"w", location=(Place.CACHE, "w")))
    cache_folder().mkdir(parents=True)
    (cache_folder() / "w").write_bytes(b"w")
    hashed: list[Path] = []
    real = assets.sha256_of
    monkeypatch.setattr(assets, "sha256_of", lambda path: (hashed.append(path), real(path))[1])
    assert asset_path("demo") == asset_path("demo")
    assert len(hashed) == 1


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("TRIVALENT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "trivalent"


def test_hashing(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    verify(path, sha256_of(path), label="f")
    with pytest.raises(AssetError, match="expected a readable file"):
        sha256_of(tmp_path / "absent")
