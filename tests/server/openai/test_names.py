"""Tests that the name of a caller's own deployment never reaches someone else's deployment."""

from collections.abc import Callable
from typing import Any

import openai
import pytest
from sqlalchemy.orm import Session

from aiplatform.server.identity.models import User
from aiplatform.server.inference.models import Deployment
from aiplatform.server.projects.models import Project
from aiplatform.server.registry.models import Model, ModelAlias
from tests.factories import make_key, make_member, make_model, make_project, number

Deploy = Callable[..., Deployment]
SignIn = Callable[..., openai.OpenAI]
HELLO: Any = [{"role": "user", "content": "Hi"}]


def asked(client: openai.OpenAI, model: str) -> str:
    answer = client.chat.completions.create(model=model, messages=HELLO)
    return answer.model


@pytest.fixture
def foreign(session: Session, owner: User) -> Project:
    """Create another user's project in which the owner is a member."""
    project = make_project(session, name=f"their project {number()}")
    make_member(session, project, "viewer", owner)
    return project


def test_own_deployment_answers_to_a_bare_name(
    sign_in: SignIn, owner: User, project: Project, foreign: Project, deploy: Deploy
) -> None:
    deploy(foreign, name="faq")
    deploy(project, name="faq")
    client = sign_in(owner)
    assert asked(client, "faq") == "faq"
    assert [model.id for model in client.models.list().data] == [f"{foreign.name}/faq", "faq"]


def test_deployment_of_others_does_not_replace_a_deleted_own_one(
    session: Session, sign_in: SignIn, owner: User, project: Project, foreign: Project,
    deploy: Deploy,
) -> None:  # fmt: skip
    mine = deploy(project, name="faq")
    deploy(foreign, name="faq")
    session.delete(mine)
    session.commit()
    with pytest.raises(openai.NotFoundError) as refused:
        asked(sign_in(owner), "faq")
    assert refused.value.code == "chat.model_of_other_project"
    assert f"{foreign.name}/faq" in refused.value.message


def test_name_with_project_means_the_deployment_of_that_project(
    sign_in: SignIn, owner: User, project: Project, foreign: Project, deploy: Deploy
) -> None:
    deploy(foreign, name="faq")
    deploy(project, name="faq")
    client, name = sign_in(owner), f"{foreign.name}/faq"
    assert asked(client, name) == name
    assert client.models.retrieve(name).owned_by == foreign.name
    assert asked(client, f"{project.name}/faq") == f"{project.name}/faq"
    with pytest.raises(openai.NotFoundError):
        asked(client, "no such project/faq")


def test_bare_name_with_a_key_means_the_project_of_the_key(
    session: Session, sign_in: SignIn, owner: User, project: Project, foreign: Project,
    deploy: Deploy, client: Any,
) -> None:  # fmt: skip
    deploy(project, name="faq")
    deploy(foreign, name="faq")
    token = f"aip_key_{number()}-of-the-foreign-project"
    make_key(session, owner, "inference:read", token=token, project=foreign)
    base = sign_in(owner)
    keyed = base.with_options(api_key=token)
    assert asked(keyed, "faq") == "faq"
    assert [model.owned_by for model in keyed.models.list().data] == [foreign.name]


def test_own_project_comes_first_among_projects_with_one_name(
    session: Session, sign_in: SignIn, owner: User, project: Project, deploy: Deploy
) -> None:
    theirs = make_project(session, name=project.name)
    make_member(session, theirs, "viewer", owner)
    deploy(theirs, name="faq")
    mine = deploy(project, name="faq")
    client = sign_in(owner)
    assert asked(client, f"{project.name}/faq")
    listed = {model.id for model in client.models.list().data}
    assert "faq" in listed
    assert client.models.retrieve(f"{project.name}/faq").created == int(mine.created_at.timestamp())


def test_project_name_may_contain_any_characters(
    session: Session, sign_in: SignIn, owner: User, deploy: Deploy
) -> None:
    """Check that any project name can be sent to the model server in a request header."""
    for name in ("客服/问答", "a\r\nAuthorization: Bearer x", "50 % off:base"):
        project = make_project(session, owner, name=f"{name}{number()}")
        deploy(project, name="faq")
        full = f"{project.name}/faq"
        assert asked(sign_in(owner), full) == full


def test_chinese_names_are_listed_and_answered_unchanged(
    session: Session, sign_in: SignIn, owner: User, deploy: Deploy
) -> None:
    mine = make_project(session, owner, name=f"客服 项目 {number()}")
    deploy(mine, name="客服问答")
    client = sign_in(owner)
    whole = f"{mine.name}/客服问答"
    assert {model.id for model in client.models.list().data} & {"客服问答", whole}
    assert client.models.retrieve("客服问答").id == "客服问答"
    for name in ("客服问答", whole):
        assert asked(client, name) == name
    with pytest.raises(openai.NotFoundError) as refused:
        asked(client, "没有这个")
    assert "没有这个" in refused.value.message


class TestVersions:
    """Tests of requests that name a model version, such as ``faq@production``, not a deployment."""

    @pytest.fixture
    def versions(self, session: Session, project: Project) -> list[Model]:
        name = f"faq{number()}"
        return [make_model(session, project, name=name, version=each) for each in ("1", "2")]

    def point(self, session: Session, model: Model) -> str:
        row = ModelAlias(
            project_id=model.project_id, model_name=model.name, name="best", model_id=model.id
        )
        session.add(row)
        session.commit()
        return f"{model.name}@best"

    def test_alias_reaches_the_deployment_of_its_version(
        self, session: Session, sign_in: SignIn, owner: User, project: Project, deploy: Deploy,
        versions: list[Model],
    ) -> None:  # fmt: skip
        first, second = versions
        deploy(project, name="second", model=second)
        reference = self.point(session, second)
        client = sign_in(owner)
        assert asked(client, reference) == reference
        assert asked(client, f"{project.name}/{reference}") == f"{project.name}/{reference}"
        assert asked(client, f"{second.name}@2") == f"{second.name}@2"
        for absent in (f"{first.name}@1", f"{first.name}@worst", f"other{reference}"):
            with pytest.raises(openai.NotFoundError):
                asked(client, absent)

    def test_deployment_that_is_ready_answers_before_one_that_is_not(
        self, session: Session, sign_in: SignIn, owner: User, project: Project, deploy: Deploy,
        versions: list[Model],
    ) -> None:  # fmt: skip
        deploy(project, name="down", model=versions[0], status="stopped", endpoint=None)
        reference = self.point(session, versions[0])
        with pytest.raises(openai.InternalServerError):
            asked(sign_in(owner), reference)
        deploy(project, name="up", model=versions[0])
        assert asked(sign_in(owner), reference) == reference

    def test_alias_of_a_foreign_project_needs_the_project_name(
        self, session: Session, sign_in: SignIn, owner: User, foreign: Project, deploy: Deploy
    ) -> None:
        model = make_model(session, foreign)
        deploy(foreign, name="theirs", model=model)
        reference, client = self.point(session, model), sign_in(owner)
        with pytest.raises(openai.NotFoundError) as refused:
            asked(client, reference)
        assert refused.value.code == "chat.model_of_other_project"
        assert asked(client, f"{foreign.name}/{reference}") == f"{foreign.name}/{reference}"

    def test_deployment_that_follows_the_alias_answers_until_it_is_updated(
        self, session: Session, sign_in: SignIn, owner: User, project: Project, deploy: Deploy,
        versions: list[Model],
    ) -> None:  # fmt: skip
        first, second = versions
        reference = self.point(session, second)
        deploy(project, name="down", model=second, status="stopped", endpoint=None)
        deploy(project, name="up", model=first, follows=reference)
        assert asked(sign_in(owner), reference) == reference
