"""Youzan's message push (消息推送): its signatures, and the form in which subscribers that expect it are told."""

from hashlib import md5


def signature(client_id: str, content: bytes, secret: str) -> str:
    """The protocol's signature over a body or over `msg` as sent: lowercase hex MD5, because both ends speak only that.

    The secret comes last, so nothing can be appended to what was signed; it does not say when it was signed.
    """
    return md5(client_id.encode() + content + secret.encode(), usedforsecurity=False).hexdigest()
