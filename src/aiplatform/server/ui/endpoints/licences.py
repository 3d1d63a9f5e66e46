"""The route for the licences of the software in the platform."""

from fastapi import APIRouter

from aiplatform.protocol.shapes.licences import LicenceOut, LicencesOut
from aiplatform.server.identity.access import SignedInOrKey
from aiplatform.server.ui.service import licences as service

router = APIRouter(prefix="/api/v1", tags=["health"])


@router.get("/licences", summary="List the licences")
def list_licences(_: SignedInOrKey) -> LicencesOut:
    """List the name, version and licence of each package in this installation."""
    return LicencesOut(
        python=[LicenceOut(**package) for package in service.python_packages()],
        page=[LicenceOut(**package) for package in service.page_packages()],
    )
