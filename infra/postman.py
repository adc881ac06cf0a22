"""Generate docs/mien.postman_collection.json (Postman 2.1) from docs/openapi.json.

Users of the collection set its variables `base_url` and `api_key`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mien.lambdas.api_gateway import ROUTES

DOCS = Path(__file__).parents[1] / "docs"
OPENAPI, COLLECTION = DOCS / "openapi.json", DOCS / "mien.postman_collection.json"
SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
SERVED = {(method, path.replace("+}", "}")) for routes in ROUTES.values() for method, path in routes}


def collection(openapi: dict[str, Any]) -> dict[str, Any]:
    """Return the collection, with a request for each operation that the stack serves."""
    return {
        "info": {"name": "Mien", "schema": SCHEMA, "description": openapi["info"].get("summary", "")},
        "auth": {
            "type": "apikey",
            "apikey": [{"key": "key", "value": "X-Api-Key"}, {"key": "value", "value": "{{api_key}}"}],
        },
        "variable": [
            {"key": "base_url", "value": "https://<id>.execute-api.<region>.amazonaws.com/dev"},
            {"key": "api_key", "value": ""},
        ],
        "item": [
            _request(path, method, operation)
            for path, operations in openapi["paths"].items()
            for method, operation in operations.items()
            if (method.upper(), path) in SERVED
        ],
    }


def _request(path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    postman_path = re.sub(r"\{(\w+)(:path)?\}", r":\1", path)
    parameters = operation.get("parameters", [])
    url = {
        "raw": "{{base_url}}" + postman_path,
        "host": ["{{base_url}}"],
        "path": postman_path.strip("/").split("/"),
        "query": [
            {"key": p["name"], "value": _example(p), "disabled": not p.get("required", False)}
            for p in parameters
            if p["in"] == "query"
        ],
        "variable": [{"key": p["name"], "value": _example(p)} for p in parameters if p["in"] == "path"],
    }
    body = {"body": content} if (content := _body(operation)) else {}
    # Postman would send the key along when it follows the redirect to a photo; so the answer is the photo's address.
    link = {"header": [{"key": "Accept", "value": "application/json"}]} if "307" in operation["responses"] else {}
    return {
        "name": f"{method.upper()} {path}",
        "request": {
            "method": method.upper(),
            "url": url,
            "description": operation.get("description", ""),
            **body,
            **link,
        },
    }


def _body(operation: dict[str, Any]) -> dict[str, Any] | None:
    content = operation.get("requestBody", {}).get("content", {})
    if "multipart/form-data" in content:
        fields = content["multipart/form-data"]["schema"]["properties"]
        return {
            "mode": "formdata",
            "formdata": [
                {"key": name, "type": "file" if field.get("format") == "binary" else "text", "value": ""}
                for name, field in fields.items()
            ],
        }
    if "application/json" in content:
        return {"mode": "raw", "raw": "{}", "options": {"raw": {"language": "json"}}}
    return None


def _example(parameter: dict[str, Any]) -> str:
    examples = parameter.get("examples") or parameter.get("schema", {}).get("examples") or [""]
    return str(examples[0]) if isinstance(examples, list) else ""


def text() -> str:
    return json.dumps(collection(json.loads(OPENAPI.read_text())), indent=2) + "\n"


if __name__ == "__main__":
    COLLECTION.write_text(text())
