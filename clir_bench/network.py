"""What to say of a request that got no answer."""

from __future__ import annotations

import requests


def cause_of(error: Exception, seconds: float) -> str:
    """Why no answer came within ``seconds``, in words of our own: the error's may hold what it was sent with."""
    text = str(error)
    if isinstance(error, requests.Timeout) or "timed out" in text:
        return f"no answer within {seconds:g} s"
    if "NameResolution" in text or "getaddrinfo" in text:
        return "no such host, or no network"
    if "refused" in text or "unreachable" in text:
        return "the server cannot be reached"
    return "the connection broke"
