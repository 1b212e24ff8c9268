"""Who asks: the key of a request, and how often it may be used."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from trivalent.core.errors import AuthenticationError
from trivalent.core.settings import Auth
from trivalent.service.context import Service, service_of
from trivalent.service.problems import ProblemError, Problems, wait
from trivalent.store import ApiKey, History, Role, User

FAILURES_PER_MINUTE = 20  # of one client address, before it has to wait
MAX_SECRET = 200


def current_user(request: Request) -> User:
    """Find the user in whose name a request is made.

    Raises
    ------
    ProblemError
        No valid key, or it was used too often, or the address failed too often.
    """
    service = service_of(request)
    if service.settings.auth is Auth.NONE:
        user = service.store.accounts.local_user()
    else:
        user = _authenticated(request, service)
    request.state.user = user.id
    return user


CurrentUser = Annotated[User, Depends(current_user)]


def own_history(request: Request, user: CurrentUser) -> History:
    """Open the analyses of the user, and of nobody else."""
    return service_of(request).store.by(user, _address(request)).history(user)


OwnHistory = Annotated[History, Depends(own_history)]
TheService = Annotated[Service, Depends(service_of)]


def administrator(user: CurrentUser, service: TheService) -> None:
    """Let only administrators pass; without accounts the local user is one.

    Raises
    ------
    ProblemError
        The account is another.
    """
    if service.settings.auth is not Auth.NONE and user.role is not Role.ADMINISTRATOR:
        raise ProblemError(Problems.FORBIDDEN, "expected the key of an administrator, got another")


def still_valid(request: Request) -> None:
    """Check the key of a long request again at its end: it may have been revoked meanwhile.

    Raises
    ------
    ProblemError
        It is not valid any more.
    """
    service = service_of(request)
    if service.settings.auth is not Auth.NONE:
        _key_of(request, service)


def _authenticated(request: Request, service: Service) -> User:
    address = _address(request)
    if seconds := service.failures.peek(address, per_minute=FAILURES_PER_MINUTE):
        raise wait(
            Problems.RATE_LIMITED, "too many failed attempts from this address; wait", seconds=seconds
        )
    user, key = _key_of(request, service)
    if seconds := service.requests.take(key.id, per_minute=key.per_minute):
        raise wait(
            Problems.RATE_LIMITED,
            f"expected at most {key.per_minute} requests a minute with this key, got more",
            seconds=seconds,
        )
    return user


def _key_of(request: Request, service: Service) -> tuple[User, ApiKey]:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    secret = secret.strip()
    try:
        if scheme.lower() != "bearer" or not secret or len(secret) > MAX_SECRET or not secret.isascii():
            raise AuthenticationError("service.authorization")
        return service.store.accounts.verify_key(secret, address=_address(request))
    except AuthenticationError as error:
        if secret:  # asking without a key is no attempt
            service.failures.take(_address(request), per_minute=FAILURES_PER_MINUTE)
        raise ProblemError(
            Problems.UNAUTHENTICATED, str(error), headers={"WWW-Authenticate": "Bearer"}
        ) from error


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"
