"""How an answer about a person leaves: masked unless the caller may see, and never kept by a cache."""

from fastapi import Response
from pydantic import BaseModel

from app.access.entry import Call


def rendered(model: BaseModel, call: Call, status: int = 200) -> Response:
    """A model as JSON, personal fields masked unless the caller may see them."""
    content = model.model_dump_json(context={"unmask": call.caller.unmasked})
    return Response(content, status, {"Cache-Control": "no-store"}, "application/json")
