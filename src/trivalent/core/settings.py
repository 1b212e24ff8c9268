"""What the app, the service and their workers are told at their start."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from trivalent.core.errors import UsageError
from trivalent.core.options import AnalyzerOptions

VARIABLE = "TRIVALENT_SETTINGS"


class Auth(StrEnum):
    """Who may use the app and the service."""

    NONE = "none"  # one local user, no password
    LOCAL = "local"  # accounts in our own database
    OIDC = "oidc"  # accounts of an identity provider, by Streamlit's login


def default_home() -> Path:
    """Folder of the user's history: `$TRIVALENT_HOME`, else where the platform keeps such data."""
    if given := os.environ.get("TRIVALENT_HOME"):
        return Path(given).expanduser()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "trivalent"


@dataclass(frozen=True)
class Quotas:
    """How much may wait: jobs of all accounts, of one, and the bytes of one (None: any number)."""

    places: int
    own_places: int
    own_bytes: int | None


@dataclass(frozen=True)
class Settings:
    """Options of `trivalent app` and `trivalent serve`.

    Attributes
    ----------
    home : Path
        Holds kept media, uploads that wait, added bundles, and the SQLite database.
    database : str, optional
        SQLAlchemy URL; SQLite inside `home` by default.
    max_upload_mb : float
        Largest file taken, in megabytes (1e6 bytes).
    keep_media : bool
        Whether recordings stay after their analysis unless the user chooses otherwise.
    retention_days : int, optional
        Analyses older than this are deleted; kept without end by default.
    workers : int
        Recordings analysed at the same time.
    queue_limit : int
        Jobs that may wait, be paused or run before new ones are refused.
    user_places : int
        As many of them may be of one account; see `own_places`.
    user_waiting_mb : float
        Size that the recordings of one account may have together while they wait, in megabytes.
    user_rate : int
        Requests a minute that users may give their own keys; administrators may give more.
    audit_days : int
        How long the audit log is kept.
    time_limit_s, memory_limit_mb : float
        Of one file, in the child process that reads it.
    trusted_proxy : str, optional
        Addresses of the proxy in front, separated by commas, whose X-Forwarded headers are believed;
        nobody's by default.
    language : str, optional
        First language of the app, `en` or `zh`; by default the browser's.
    upload_memory_mb : float
        Most that uploads of the app may hold in memory, all sessions together, in megabytes.
    public_names : tuple of str
        Host names under which browsers reach the app, besides those of a loopback address.
    """

    home: Path = field(default_factory=default_home)
    database: str | None = None
    auth: Auth = Auth.NONE
    model: str = AnalyzerOptions.model
    max_upload_mb: float = 100
    keep_media: bool = False
    retention_days: int | None = None
    workers: int = 1
    queue_limit: int = 200
    user_places: int = 50
    user_waiting_mb: float = 2000
    user_rate: int = 600
    audit_days: int = 365
    time_limit_s: float = 3600
    memory_limit_mb: float = 4096
    threads: int = AnalyzerOptions.threads
    trusted_proxy: str | None = None
    language: str | None = None
    upload_memory_mb: float = 2000
    public_names: tuple[str, ...] = ()

    @property
    def database_url(self) -> str:
        """The database as an SQLAlchemy URL."""
        return self.database or f"sqlite:///{self.home.resolve() / 'history.sqlite'}"

    @property
    def proxies(self) -> tuple[str, ...]:
        """Addresses of the proxies in front."""
        return tuple(a.strip() for a in (self.trusted_proxy or "").split(",") if a.strip())

    @property
    def max_upload_bytes(self) -> int:
        """Largest file taken, in bytes."""
        return int(self.max_upload_mb * 1e6)

    @property
    def quotas(self) -> Quotas:
        """Places in the queue, of all and of one account.

        One account has at most half of them, so that the others always find some. Without accounts
        there is nobody else.

        >>> Settings(auth=Auth.LOCAL, queue_limit=10).quotas.own_places
        5
        """
        if self.auth is Auth.NONE:
            return Quotas(self.queue_limit, self.queue_limit, None)
        own = min(self.user_places, max(1, self.queue_limit // 2))
        return Quotas(self.queue_limit, own, int(self.user_waiting_mb * 1e6))

    def to_json(self) -> str:
        """Render for the environment of a child process."""
        return json.dumps({**asdict(self), "home": str(self.home)})

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Settings:
        """Read what `to_json` wrote.

        >>> Settings.from_mapping(json.loads(Settings(workers=3).to_json())).workers
        3

        Raises
        ------
        UsageError
            A name is unknown.
        """
        known = {f.name for f in fields(cls)}
        if unknown := set(data) - known:
            raise UsageError("cli.settings_unknown", known=sorted(known), unknown=sorted(unknown))
        changed: dict[str, Any] = dict(data)
        if "home" in changed:
            changed["home"] = Path(changed["home"]).expanduser()
        if "auth" in changed:
            changed["auth"] = Auth(changed["auth"])
        if "public_names" in changed:
            changed["public_names"] = tuple(changed["public_names"])
        return cls(**changed)

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the settings that a starting command left in `$TRIVALENT_SETTINGS`; else the defaults."""
        text = os.environ.get(VARIABLE)
        return cls() if text is None else cls.from_mapping(json.loads(text))


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this computer only.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False  # a name: where it leads is not for us to guess


def check_binding(host: str, auth: Auth, *, force: bool) -> None:
    """Refuse to open everybody's recordings to a network.

    Raises
    ------
    UsageError
        The address is public, there are no accounts and `force` was not given.
    """
    if auth is Auth.NONE and not is_loopback(host) and not force:
        raise UsageError("cli.settings_open_address", host=host)
