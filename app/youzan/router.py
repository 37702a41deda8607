"""Where the façade is mounted. Its calls are described by Youzan's own documents, not by our OpenAPI one."""

from starlette.convertors import PathConvertor, register_url_convertor
from starlette.routing import Route

from app.youzan.gateway import Gateway
from app.youzan.tokens import OldTokenEndpoint, TokenEndpoint


class _Below(PathConvertor):
    """Nothing, or a slash and anything: Starlette's own stops at a line break, and the caller would hear HTTP 404."""

    regex = r"(?:/[\s\S]*)?"


register_url_convertor("below", _Below())

ROUTES = (
    Route("/auth/token", TokenEndpoint(), include_in_schema=False),
    Route("/oauth/token", OldTokenEndpoint(), include_in_schema=False),
    Route("/api{rest:below}", Gateway(), include_in_schema=False),
)
