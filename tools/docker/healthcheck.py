"""Exits with 0 if the `samjax serve` of this container answers, with 1 otherwise.

    python healthcheck.py http://127.0.0.1:8000

A request without the server's token is refused with 401. Where the token was drawn by the
server, and is unknown here, that refusal is the sign that it answers.
"""

import os
import sys
import urllib.error
import urllib.request


def is_healthy(address: str, token: str | None) -> bool:
    """Returns whether the server at `address` answers as it should.

    Args:
        address: Its URL, without a path.
        token: Its token; None if it is unknown.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{address}/api/v1/health", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status == 200
    except urllib.error.HTTPError as error:
        return error.code == 401 and not token
    except OSError:
        return False


if __name__ == "__main__":
    healthy = is_healthy(sys.argv[1], os.environ.get("SAMJAX_TOKEN"))
    sys.exit(0 if healthy else 1)
