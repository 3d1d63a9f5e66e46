"""Tests of the flat list of routes in the application's description."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Route
from starlette.testclient import TestClient

from aiplatform.server.core.description import DescribedApp, NestedRouterOptions


def test_add_routes_flattens_nested_routers() -> None:
    begun = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        begun.append("lifespan")
        yield

    inner = APIRouter(prefix="/inner", lifespan=lifespan)
    outer = APIRouter(tags=["outer"])

    @inner.get("/first")
    def first() -> str:
        return "first"

    @outer.get("/second")
    def second() -> str:
        return "second"

    outer.include_router(inner)
    app = DescribedApp(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_routes(outer)
    assert [type(route) for route in app.routes] == [APIRoute, APIRoute]
    with TestClient(app) as client:
        assert begun == ["lifespan"]
        assert client.get("/inner/first").json() == "first"
        assert client.get("/second").json() == "second"
    operations = [item["get"] for item in app.openapi()["paths"].values()]
    assert {o["operationId"] for o in operations} == {"first", "second"}
    assert [o["tags"] for o in operations] == [["outer"]] * 2
    assert all("HTTPValidationError" not in str(o) for o in operations)


@pytest.mark.parametrize(
    "options", [{"prefix": "/late"}, {"dependencies": [Depends(lambda: None)]}]
)
def test_add_routes_with_options_of_inclusion_is_refused(options: dict[str, object]) -> None:
    """Check that no guard is lost, because a flat list ignores ``include_router`` options."""
    inner, outer = APIRouter(), APIRouter()
    inner.add_api_route("/", lambda: None)
    outer.include_router(inner, **options)  # type: ignore[arg-type]
    with pytest.raises(NestedRouterOptions):
        DescribedApp().add_routes(outer)


def test_application_has_only_flat_routes(app: FastAPI) -> None:
    others = [route for route in app.routes if not isinstance(route, Route)]
    assert others == [], "add routers with add_routes"
