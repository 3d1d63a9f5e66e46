"""Routes for sign-in, accounts, roles and invitations."""

from fastapi import APIRouter

from aiplatform.server.identity.endpoints import account, invitations, roles, sign_in, sso, users

router = APIRouter()
for part in (sign_in, account, users, invitations, roles, sso):  # `users/me` before `users/{user}`
    router.include_router(part.router)
