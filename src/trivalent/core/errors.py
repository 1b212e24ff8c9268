"""The one tree of errors.

Every message has three parts: what was expected, what came, and what to do. An error is a code of
`data/messages` with values, so that it is said in the language of whoever reads it.
The command line prints the message on one line and exits with `exit_status`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trivalent.core.messages import Language, Message
from trivalent.core.outside import escaped


class TrivalentError(Exception):
    r"""Root of everything that Trivalent raises on purpose.

    Parameters
    ----------
    code : str
        `area.name` of the catalogue, or a sentence of one's own.
    **values
        For the placeholders, as in `Message`.

    A file may have any name, and a message that repeats it stays one line that can be printed.

    >>> error = TrivalentError("media.absent", path="two\nlines.wav")
    >>> print(error)
    expected a recording, found no file two\nlines.wav; check the path
    >>> error.said(Language.CHINESE)
    '需要录制文件，但找不到 two\\nlines.wav；请检查路径'
    """

    exit_status = 1

    def __init__(self, code: str, /, **values: object) -> None:
        self.message = code if isinstance(code, Message) else Message(code, **values)
        super().__init__(self.message)

    def __str__(self) -> str:
        return escaped(str(self.message))

    def said(self, language: Language) -> str:
        """Say the message in a language, on one line."""
        return escaped(self.message.said(language))


class UsageError(TrivalentError):
    """An option or argument has a value that is not one of the choices."""

    exit_status = 2


class InputError(TrivalentError):
    """The user's input cannot be analysed."""


class MediaError(InputError):
    """A recording cannot be opened or holds nothing that can be decoded."""


class TranscriptError(InputError):
    """A transcript file cannot be read as .srt, .vtt or .txt."""


class ArchiveError(InputError):
    """A .zip is damaged, or has more than it may hold, or members that it must not have."""


class TextError(InputError):
    """A text holds no word to analyse."""


class AssetError(TrivalentError):
    """A model file is absent or is not the file that it should be."""


class AbsentAssetError(AssetError):
    """No copy of a model file is on this machine."""


class BundleError(TrivalentError):
    """A model bundle is malformed or does not fit the extractors."""


class FeatureError(TrivalentError):
    """Features cannot be computed, read, or joined."""


class DataError(TrivalentError):
    """A data set is absent, damaged or not what its protocol says."""


class UnreachableError(DataError):
    """The server of a data set does not answer at all; its other files need not be tried."""


class LeakageError(TrivalentError):
    """Something is fitted to, or selected on, data that it must not have seen."""


class RecipeError(TrivalentError):
    """A training recipe has an unknown key or an impossible value."""


class MissingExtraError(TrivalentError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__("extra.missing", package=package, extra=extra)


class SchemaError(TrivalentError):
    """A document is not what its schema says; the message names the place."""


class StoreError(TrivalentError):
    """The history cannot be read or written."""


class ConflictError(StoreError):
    """A change would break a rule of the schema: something is taken, or has gone meanwhile."""


class NotFoundError(StoreError):
    """No such thing, or it belongs to somebody else: the two are not told apart."""


class StorageFullError(StoreError):
    """There is no room on the disk."""


class QueueFullError(StoreError):
    """As many tasks wait as the server takes."""


class QuotaError(QueueFullError):
    """As many jobs of one account wait, or bytes of them, as it may have; others find places."""


class AuthenticationError(TrivalentError):
    """The name, password or key is not valid."""


class RetryLaterError(TrivalentError):
    """Not now: the same is worth another try in `retry_after_s`."""

    def __init__(self, code: str, /, *, retry_after_s: float, **values: object) -> None:
        super().__init__(code, **values)
        self.retry_after_s = retry_after_s


class LockedError(AuthenticationError, RetryLaterError):
    """Too many failures: the account is locked for a while."""


class BusyError(RetryLaterError):
    """More people sign in at this moment than the server checks."""


class PermissionDeniedError(TrivalentError):
    """The account may not do this."""


class CancelledError(TrivalentError):
    """The user cancelled the work."""


class LimitError(InputError):
    """An input used up its time or memory, or crashed the process that read it."""


def taken_apart(error: TrivalentError) -> dict[str, Any]:
    """Render an error for another process; `rebuilt` puts it together again."""
    fields = {name: value for name, value in vars(error).items() if name != "message"}
    return {"kind": type(error).__name__, "message": error.message.to_dict(), "fields": fields}


def rebuilt(parts: Mapping[str, Any]) -> TrivalentError:
    """Make the error that `taken_apart` rendered, with its fields; an unknown kind is an input's fault.

    >>> error = rebuilt(taken_apart(LockedError("expected a pause", retry_after_s=3.0)))
    >>> type(error).__name__, str(error), error.retry_after_s
    ('LockedError', 'expected a pause', 3.0)
    """
    kind = globals().get(parts["kind"])
    if not (isinstance(kind, type) and issubclass(kind, TrivalentError)):
        kind = InputError
    error: TrivalentError = kind.__new__(kind)  # a subclass may take other arguments than the message
    TrivalentError.__init__(error, Message.from_dict(parts["message"]))
    vars(error).update(parts["fields"])
    return error
