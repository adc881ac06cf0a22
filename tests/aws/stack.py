"""The template as CloudFormation sees it: translated in-process by SAM's own translator."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).parents[2] / "infra" / "template.yaml"
REGION, ACCOUNT = "eu-central-1", "123456789012"


@cache
def translated() -> dict[str, Any]:
    """The CloudFormation template; parameters stay references."""
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator
    from samtranslator.yaml_helper import yaml_parse

    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
    source = yaml_parse(TEMPLATE.read_text())
    defaults = {name: str(p["Default"]) for name, p in source["Parameters"].items()}
    source["Globals"]["Function"]["CodeUri"] = "s3://packages/mien.zip"  # as `sam package` would put it
    template: dict[str, Any] = Translator({}, Parser()).translate(source, defaults)
    return json.loads(json.dumps(template))


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """Properties by logical name."""
    return {
        name: resource.get("Properties", {})
        for name, resource in translated()["Resources"].items()
        if resource["Type"] == kind
    }


def handler(name: str) -> str:
    """The dotted path of a function's handler; `name` is what follows the stage in the function's name."""
    handler: str = resources("AWS::Lambda::Function")[f"{name.capitalize()}Function"]["Handler"]
    return handler


def values() -> dict[str, str]:
    """What references come to with default parameters."""
    defaults = {name: str(p.get("Default", "")) for name, p in translated()["Parameters"].items()}
    pseudo = {"AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::Partition": "aws"}
    return {**defaults, **pseudo}


def resolve(value: Any) -> Any:
    """References and substitutions replaced; what only AWS knows stays as `<Name>`."""
    if isinstance(value, list):
        return [resolve(part) for part in value]
    if not isinstance(value, dict):
        return value
    if "Ref" in value:
        return values().get(value["Ref"], f"<{value['Ref']}>")
    if "Fn::GetAtt" in value:
        return f"<{'.'.join(value['Fn::GetAtt'])}>"
    if "Fn::Sub" in value:
        text = value["Fn::Sub"]
        for name, known in values().items():
            text = text.replace(f"${{{name}}}", known)
        return text
    return {name: resolve(part) for name, part in value.items()}
