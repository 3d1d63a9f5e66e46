"""Errors of the web interface's routes."""

from aiplatform.server.core.errors import Invalid


class UnknownTopic(Invalid):
    """A stream topic that does not exist, or that requires a project when none was given."""

    code = "stream.unknown_topic"


class TooManyTopics(Invalid):
    """The stream would have more topics than are allowed."""

    code = "stream.too_many_topics"
