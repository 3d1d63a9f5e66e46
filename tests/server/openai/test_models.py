"""Tests of the list of models in the OpenAI-compatible API."""

from __future__ import annotations

from collections.abc import Callable

import openai
import pytest
from sqlalchemy.orm import Session

from aiplatform.server.identity.models import User
from aiplatform.server.inference.models import Deployment
from aiplatform.server.projects.models import Project
from tests.factories import (
    make_member,
    make_model,
    make_project,
)

Deploy = Callable[..., Deployment]
SignIn = Callable[..., openai.OpenAI]


class TestModels:
    def test_ready_deployments_are_listed_with_their_base(
        self, chat: openai.OpenAI, session: Session, project: Project, deploy: Deploy
    ) -> None:
        base = make_model(session, None)
        tuned = deploy(project, model=make_model(session, project, base_model_id=base.id))
        plain = deploy(project)
        deploy(project, status="stopped")

        listed = chat.models.list().data
        names = [tuned.name, f"{tuned.name}:base", plain.name]
        assert [model.id for model in listed] == names
        assert {model.owned_by for model in listed} == {project.name}
        assert chat.models.retrieve(f"{tuned.name}:base").id == f"{tuned.name}:base"
        assert chat.models.retrieve(str(plain.uuid)).id == str(plain.uuid)

    def test_names_of_two_own_projects_are_listed_with_the_project(
        self, sign_in: SignIn, session: Session, owner: User, project: Project, deploy: Deploy
    ) -> None:
        other = make_project(session, owner)
        for each in (project, other):
            deploy(each, name="same")
        listed = [model.id for model in sign_in(owner).models.list().data]
        assert listed == [f"{project.name}/same", f"{other.name}/same"]
        for name in listed:
            assert sign_in(owner).models.retrieve(name).id == name

    def test_deployments_of_others_are_listed_with_project_or_uuid(
        self, sign_in: SignIn, session: Session, owner: User, project: Project, deploy: Deploy
    ) -> None:
        one, two = make_project(session, name="shared"), make_project(session, name="shared")
        third = make_project(session)
        for each in (one, two, third):
            make_member(session, each, "viewer", owner)
        mine = deploy(project, name="same")
        alike = [deploy(each, name="same") for each in (one, two)]
        deploy(third, name="same")
        listed = [model.id for model in sign_in(owner).models.list().data]
        uuids = [str(each.uuid) for each in alike]
        assert listed == [mine.name, *uuids, f"{third.name}/same"]

    def test_list_without_valid_token_is_refused(self, sign_in: SignIn) -> None:
        with pytest.raises(openai.AuthenticationError):
            sign_in(None).models.list()
