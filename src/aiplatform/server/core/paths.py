"""Route parameters for paths that may contain any characters."""

from starlette.convertors import PathConvertor, register_url_convertor


class AnyPath(PathConvertor):
    """A path that may contain any characters, for the end of a route.

    Starlette's own ``path`` does not match line breaks. With it, a name that contains a line break
    matches no route. It also silently removes a line break at the end, so two names would refer
    to the same file.
    """

    regex = r"[\s\S]*"


register_url_convertor("path", AnyPath())

ANY_PATH = "/{path:path}"
"""End of a route; the parameter ``path`` is the rest of the URL's path."""
