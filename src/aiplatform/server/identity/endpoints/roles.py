"""Routes for permissions and roles."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response, status

from aiplatform.protocol.permissions import DESCRIPTIONS, SYSTEM_ROLES, Permission
from aiplatform.protocol.shapes.identity import PermissionOut, RoleOut, RoleUses
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.errors import Language
from aiplatform.server.core.etags import IfMatch
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    page_by_id,
    render_page,
)
from aiplatform.server.core.problems import ProblemDocument, language_of
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity import queries, service
from aiplatform.server.identity.access import (
    PlatformGuard,
    Principal,
    SessionDep,
    SignedInOrKey,
)
from aiplatform.server.identity.models import Role
from aiplatform.server.identity.schemas import RoleIn, RolePatch

router = APIRouter(prefix="/api/v1", tags=["identity"])

CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemDocument, "description": "Name taken, in use, or a system role"}
}
CHANGED: dict[int | str, dict[str, Any]] = CONFLICT | {
    412: {"model": ProblemDocument, "description": "Changed since it was read"},
    428: {"model": ProblemDocument, "description": "If-Match is missing"},
}
RolesWrite = Annotated[Principal, Depends(PlatformGuard(Permission.ROLES_WRITE))]
RoleName = Annotated[str, Path(max_length=50, description="name or uuid")]


def _render(role: Role, language: Language) -> RoleOut:
    """Return the response body of a role.

    System roles never change, so their descriptions can be translated.
    """
    out = RoleOut.model_validate(role)
    if role.is_system and role.name in SYSTEM_ROLES:
        english, chinese = SYSTEM_ROLES[role.name]
        out.description = chinese if language == "zh" else english
    return out


@router.get("/permissions", summary="List the permissions")
def list_permissions(_: SignedInOrKey) -> Page[PermissionOut]:
    """List all permissions that a role or an API key can hold.

    `resource:*` stands for all permissions on a resource, `*` for all permissions. In a project
    role, only permissions that apply to projects count.
    """
    return Page(
        items=[
            PermissionOut(
                permission=permission.value,
                resource=permission.partition(":")[0],
                action=permission.partition(":")[2],
                description=DESCRIPTIONS[permission][0],
                description_zh=DESCRIPTIONS[permission][1],
                reaches_projects=permission.reaches_projects,
            )
            for permission in Permission
        ]
    )


@router.get("/roles", summary="List roles")
def list_roles(
    _: SignedInOrKey,
    session: SessionDep,
    request: Request,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RoleOut]:
    """List the roles, system roles first. Everyone may see which roles can be assigned.

    System roles are described in English or Chinese, depending on `Accept-Language`; all other
    roles are described as they were written.
    """
    language = language_of(request)
    rows, following = page_by_id(
        session, queries.list_roles(), Role.id, limit=limit, cursor=cursor, newest_first=False
    )
    return render_page(rows, following, lambda role: _render(role, language))


@router.get("/roles/{role}", summary="Read a role")
@sends_headers("ETag")
def read_role(
    role: RoleName,
    principal: SignedInOrKey,
    session: SessionDep,
    request: Request,
    response: Response,
) -> RoleOut:
    """Return a role. Its ETag is needed to change it.

    The description of a system role depends on `Accept-Language`, as in the list.
    """
    found = queries.find_role(session, role)
    response.headers["ETag"] = service.role_tag(found)
    out = _render(found, language_of(request))
    if principal.may(Permission.ROLES_READ):
        uses = queries.role_uses(session, found, get_settings().oidc_roles.values())
        out.uses = RoleUses(**uses)
    return out


@router.post(
    "/roles", summary="Create a role", status_code=status.HTTP_201_CREATED, responses=CONFLICT
)
@sends_headers("ETag")
def create_role(
    body: RoleIn, principal: RolesWrite, session: SessionDep, response: Response
) -> RoleOut:
    """Create a role. Nobody can give a role permissions that they lack themselves."""
    role = service.create_role(session, principal, **body.model_dump())
    response.headers["ETag"] = service.role_tag(role)
    return RoleOut.model_validate(role)


@router.patch("/roles/{role}", summary="Change a role", responses=CHANGED)
@sends_headers("ETag")
def update_role(
    role: RoleName,
    body: RolePatch,
    principal: RolesWrite,
    session: SessionDep,
    response: Response,
    if_match: IfMatch = None,
) -> RoleOut:
    """Change the given fields. The change takes effect with the role holders' next requests.

    Nobody can add or remove permissions that they lack. Only holders of `*` can change a role that
    they hold themselves. System roles never change.
    """
    changes = body.model_dump(exclude_unset=True)
    changed = service.update_role(session, principal, role, changes, if_match)
    response.headers["ETag"] = service.role_tag(changed)
    return RoleOut.model_validate(changed)


@router.delete(
    "/roles/{role}",
    summary="Delete a role",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=CONFLICT,
)
def delete_role(role: RoleName, principal: RolesWrite, session: SessionDep) -> None:
    """Delete a role that is not in use."""
    service.delete_role(session, principal, role, get_settings().oidc_roles.values())
