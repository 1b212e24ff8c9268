"""/v1/models: what a request may name as its model."""

from __future__ import annotations

from fastapi import APIRouter

from trivalent.bundle.loading import Bundle
from trivalent.core.errors import BundleError, NotFoundError
from trivalent.service.authentication import CurrentUser, TheService
from trivalent.service.openapi import KEYED, problems
from trivalent.service.problems import Problems
from trivalent.service.schemas import ModelCard, ModelList, ModelRow

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", operation_id="listModels", responses=problems(*KEYED))
def list_models(service: TheService, user: CurrentUser) -> ModelList:
    """List the model bundles."""
    return ModelList(items=[_listed(service, name) for name in service.catalogue.names()])


@router.get("/{name}", operation_id="getModel", responses=problems(*KEYED, Problems.NOT_FOUND))
def get_model(name: str, service: TheService, user: CurrentUser) -> ModelCard:
    """Read the card of a bundle: data, licence, metrics, limits."""
    bundle = service.catalogue.bundle(name)
    return ModelCard(**_row(service, bundle).model_dump(), card=bundle.card)


def _listed(service: TheService, name: str) -> ModelRow:
    try:
        return _row(service, service.catalogue.bundle(name))
    except (BundleError, NotFoundError) as error:  # damaged, or removed meanwhile
        default = name == service.catalogue.default_name
        return ModelRow(
            name=name, version="", sha256="", modalities=[], default=default, problem=str(error)
        )


def _row(service: TheService, bundle: Bundle) -> ModelRow:
    return ModelRow(
        name=bundle.name,
        version=bundle.version,
        sha256=bundle.sha256,
        modalities=list(bundle.modalities),
        default=bundle.name == service.catalogue.default_name,
    )
