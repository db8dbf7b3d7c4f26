"""Blocks of one's own: a secret, one inside another, one that is changed later."""

import sys

from prefect.blocks.core import Block
from prefect.blocks.system import Secret

try:
    from prefect._internal.pydantic import HAS_PYDANTIC_V2  # 2.20

    if HAS_PYDANTIC_V2:
        from pydantic.v1 import SecretStr
    else:
        from pydantic import SecretStr
except ImportError:
    from pydantic import SecretStr


class Login(Block):
    token: SecretStr
    tries: int = 3


class Nested(Block):
    login: Login
    spare: Login


if __name__ == "__main__":
    name = sys.argv[1]
    Secret(value="hunter2").save(name)
    login = Login(token="tok")
    login.save(name)
    Nested(login=login, spare=Login(token="inline")).save(name)
    changed = Login.load(name)
    changed.tries = 9
    changed.save(name, overwrite=True)
    nested = Nested.load(name)
    assert nested.login.token.get_secret_value() == "tok"
    print("loaded", Secret.load(name).get(), nested.login.tries, nested.spare.token.get_secret_value())
