"""The model bundles that a request may name: those of the package, the added ones, and the server's own."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from trivalent.bundle.loading import Bundle, fingerprint, installed_bundles, load_bundle
from trivalent.bundle.shelf import added_bundles, resolve
from trivalent.core.errors import BundleError, NotFoundError
from trivalent.core.settings import Settings

Version = tuple[str, str]  # where a bundle lies, and its content's fingerprint


class Catalogue:
    """Finds bundles by name: a request never names a path."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._load = lru_cache(maxsize=16)(_load)
        self.default_name = settings.model
        if settings.model not in self._by_name():  # the operator, unlike a request, may name a path
            self._own: dict[str, str | Path] = {load_bundle(settings.model).name: settings.model}
            self.default_name = next(iter(self._own))
        else:
            self._own = {}

    def names(self) -> list[str]:
        """Names of the bundles, sorted."""
        return sorted({*self._by_name(), *self._own})

    def version(self, name: str | None) -> Version:
        """Tell where a bundle lies and what is in it; None stands for the server's default.

        Raises
        ------
        NotFoundError
            There is no such bundle.
        """
        wanted = name or self.default_name
        where = self._own.get(wanted)
        if where is None:
            try:
                where = resolve(wanted, self._settings.home)
            except BundleError as error:
                raise NotFoundError(error.message) from error
        return str(where), fingerprint(where)

    def bundle(self, name: str | None) -> Bundle:
        """Load a bundle, once for each version of it.

        Raises
        ------
        NotFoundError
            There is no such bundle.
        BundleError
            It is damaged.
        """
        return self._load(self.version(name))

    def _by_name(self) -> set[str]:
        return {*installed_bundles(), *added_bundles(self._settings.home)}


def _load(version: Version) -> Bundle:
    return load_bundle(version[0], threads=1)
