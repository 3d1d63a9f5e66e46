"""Routes whose last parameter is a path of any characters."""

from starlette.convertors import PathConvertor, register_url_convertor


class AnyPath(PathConvertor):
    """A path of any characters.

    Starlette's own ``path`` does not match line ends: a name with one inside found no route, and
    one at the end was cut off without a word, so that two names meant one file.
    """

    regex = r"[\s\S]*"


register_url_convertor("path", AnyPath())

ANY_PATH = "/{path:path}"
"""The end of a route, whose parameter ``path`` is the rest of the address."""
