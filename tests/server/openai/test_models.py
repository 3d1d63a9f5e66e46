"""The list of what OpenAI's client may ask."""

from __future__ import annotations

from collections.abc import Callable

import openai
import pytest
from sqlalchemy.orm import Session

from aiplatform.server.identity.models import User
from aiplatform.server.inference.models import Deployment
from aiplatform.server.projects.models import Project
from tests.factories import (
    make_model,
    make_project,
)

Deploy = Callable[..., Deployment]
SignIn = Callable[..., openai.OpenAI]


class TestModels:
    """The list of what may be asked."""

    def test_ready_ones_with_their_base(
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

    def test_names_used_twice_are_listed_as_uuids(
        self, sign_in: SignIn, session: Session, owner: User, project: Project, deploy: Deploy
    ) -> None:
        name = "same"
        mine = deploy(project, name=name)
        theirs = deploy(make_project(session, owner), name=name)
        listed = sign_in(owner).models.list().data
        assert [model.id for model in listed] == [str(mine.uuid), str(theirs.uuid)]

    def test_nobody(self, sign_in: SignIn) -> None:
        with pytest.raises(openai.AuthenticationError):
            sign_in(None).models.list()
