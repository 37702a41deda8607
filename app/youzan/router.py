"""Where the façade is mounted. Its calls are described by Youzan's own documents, not by our OpenAPI one."""

from starlette.convertors import PathConvertor, register_url_convertor
from starlette.routing import Route

from app.youzan.gateway import Gateway
from app.youzan.tokens import OldTokenEndpoint, TokenEndpoint


class _Below(PathConvertor):
    """Nothing, or a slash and anything: Starlette's own stops at a line break, and the caller would hear HTTP 404."""

    regex = r"(?:/[\s\S]*)?"


register_url_convertor("below", _Below())

# A base URL that ends in a slash, joined to a path that begins with one, makes two of them.
ROUTES = tuple(
    Route(begin + path, endpoint, include_in_schema=False)
    for path, endpoint in (
        ("/auth/token", TokenEndpoint()),
        ("/oauth/token", OldTokenEndpoint()),
        ("/api{rest:below}", Gateway()),
    )
    for begin in ("", "/")
)
