"""Behind Caddy, as docs/deploy-server.md and deploy/compose.yaml set it up, everything works under its HTTPS address.

That takes Debian's package caddy. Its certificate is its own; it does not get into the machine's trust store.
"""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.support.painter import photo_of
from tests.support.process import MIEN_ON_FAKE_ENGINE, free_port, serve, wait_for

ROOT = Path(__file__).parents[2]
OPTIONS = "{\n  admin off\n  skip_install_trust\n  auto_https disable_redirects\n}\n"
WHOLE = "example.org {\n  reverse_proxy 127.0.0.1:8000\n}\n"
"""What `caddy reverse-proxy --from example.org --to …` of the compose file stands for."""


def of_the_document() -> str:
    """The configuration that docs/deploy-server.md gives, with a path prefix."""
    found = re.search(r"```caddy\n(.*?)```", (ROOT / "docs/deploy-server.md").read_text("utf-8"), re.DOTALL)
    assert found
    return found[1]


@pytest.fixture(params=["", "/mien"], ids=["as the compose file", "as the document"])
def caddy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a guarded server behind Caddy, with a key, and with the address of the application as its base."""
    if (program := shutil.which("caddy")) is None:
        pytest.skip("caddy is not installed")
    inner, outer, data = free_port(), free_port(), tmp_path / "data"
    proxies = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text("utf-8"))["services"]["mien"]["environment"]
    assert proxies.keys() == {"FORWARDED_ALLOW_IPS"}
    made = subprocess.run(
        [*MIEN_ON_FAKE_ENGINE, "keys", "create", "me", "--data-dir", data], capture_output=True, text=True, check=True
    )
    server = serve(data, inner, {"FORWARDED_ALLOW_IPS": "127.0.0.0/8"})
    site = (of_the_document() if request.param else WHOLE).replace("8000", str(inner))
    (tmp_path / "Caddyfile").write_text(OPTIONS + site.replace("example.org", f"https://localhost:{outer}", 1))
    home = tmp_path / "home"
    proxy = subprocess.Popen(
        [program, "run", "--config", tmp_path / "Caddyfile", "--adapter", "caddyfile"],
        env={"HOME": str(home), "XDG_DATA_HOME": str(home), "XDG_CONFIG_HOME": str(home)},
        stderr=subprocess.DEVNULL,
    )
    try:
        certificate = home / "caddy/pki/authorities/local/root.crt"
        wait_for(certificate.exists)
        client = httpx.Client(
            base_url=f"https://localhost:{outer}{request.param}/",
            verify=ssl.create_default_context(cafile=str(certificate)),
            headers={"X-Api-Key": made.stdout.strip()},
            timeout=60,
        )
        wait_for(lambda: _answers(client))
        yield client
    finally:
        for process in (proxy, server):
            process.terminate()
            process.wait(60)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("health").status_code == 200
    except httpx.TransportError:
        return False


def test_photos_are_enrolled_by_a_form_and_recognised(caddy: httpx.Client) -> None:
    assert caddy.get("users", headers={"X-Api-Key": ""}).status_code == 401
    assert f'<base href="{caddy.base_url.path}"' in caddy.get("").text
    form = caddy.post("uploads", json={"name": "Ada", "content_type": "image/jpeg"}).json()
    assert form["url"].startswith(str(caddy.base_url))
    sent = caddy.post(form["url"], data=form["fields"], files={"file": photo_of("Ada")}, headers={"X-Api-Key": ""})
    assert sent.is_success, sent.text
    wait_for(lambda: caddy.get(f"uploads/{form['image_path']}").json()["status"] == "indexed")
    (face,) = caddy.post("recognize", files={"image": photo_of("Ada", photo=1)}).json()["faces"]
    assert face["name"] == "Ada"
    taken = caddy.post("upload", files={"image": photo_of("Grace")}, data={"name": "Grace"})
    assert taken.headers["location"].startswith(caddy.base_url.path)
