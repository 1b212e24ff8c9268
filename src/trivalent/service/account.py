"""/v1/me: the account of the key, and the deletion of all that belongs to it."""

from __future__ import annotations

from fastapi import APIRouter

from trivalent.service.authentication import CurrentUser, OwnHistory
from trivalent.service.openapi import KEYED, problems
from trivalent.service.schemas import DeletedOut, Me

router = APIRouter(prefix="/v1/me", tags=["account"])


@router.get("", operation_id="getMe", responses=problems(*KEYED))
def get_me(user: CurrentUser) -> Me:
    """Tell in whose name the key speaks."""
    return Me(name=user.name, role=user.role)


@router.delete("/data", operation_id="deleteMyData", responses=problems(*KEYED))
def delete_my_data(history: OwnHistory) -> DeletedOut:
    """Delete all your analyses, recordings and jobs; account and keys stay."""
    return DeletedOut.model_validate(history.delete_everything())
