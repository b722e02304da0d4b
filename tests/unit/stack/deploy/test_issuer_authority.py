"""The authority of `encryption.issuer`, which a deployment checks before it asks the cluster."""

import kubernetes
import pytest

from stack.components.encryption.authority import Authority
from stack.deploy.issuer import require_issuer
from stack.errors import DeployError
from stack.settings import parse
from tests.support.configuration import config


def test_an_authority_that_is_not_valid_yet_is_refused() -> None:
    issuer = {"name": "private", "authority": Authority("an authority of the tests").certificate}
    settings = parse(config(encryption={"telemetry": True, "issuer": issuer}), "Pulumi.test.yaml")
    with pytest.raises(DeployError, match=r"authority is not valid until .* GMT; nothing was changed"):
        require_issuer(kubernetes.client.ApiClient(), settings, now=0.0)
