"""The two templates as CloudFormation sees them: translated in-process by SAM's own translator."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

INFRA = Path(__file__).parents[2] / "infra"
DATA, APP = INFRA / "data.yaml", INFRA / "app.yaml"
REGION, ACCOUNT = "eu-central-1", "123456789012"


@cache
def data() -> dict[str, Any]:
    """The template of what is kept, as JSON."""
    from samtranslator.yaml_helper import yaml_parse

    parsed: dict[str, Any] = yaml_parse(DATA.read_text())
    return json.loads(json.dumps(parsed))


@cache
def translated() -> dict[str, Any]:
    """The application as a CloudFormation template; parameters stay references."""
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator
    from samtranslator.yaml_helper import yaml_parse

    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
    source = yaml_parse(APP.read_text())
    parameters = {name: str(p.get("Default", f"<{name}>")) for name, p in source["Parameters"].items()}
    source["Globals"]["Function"]["CodeUri"] = "s3://packages/mien.zip"  # as `sam package` would put it
    template: dict[str, Any] = Translator({}, Parser()).translate(source, parameters)
    return json.loads(json.dumps(template))


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """Properties by logical name, of both templates."""
    return {
        name: resource.get("Properties", {})
        for template in (data(), translated())
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def handler(name: str) -> str:
    """The dotted path of a function's handler; `name` is what follows the stage in the function's name."""
    handler: str = resources("AWS::Lambda::Function")[f"{name.capitalize()}Function"]["Handler"]
    return handler


@cache
def values() -> dict[str, str]:
    """What references come to with default parameters; the application's are joined to the data's outputs."""
    parameters = {**data()["Parameters"], **translated()["Parameters"]}
    pseudo = {"AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::Partition": "aws"}
    known = pseudo | {name: str(p["Default"]) for name, p in parameters.items() if "Default" in p}
    known |= {name: str(p["Default"]) for name, p in data()["Parameters"].items()}
    return known | {name: _resolve(output["Value"], known) for name, output in data()["Outputs"].items()}


def resolve(value: Any) -> Any:
    """References and substitutions replaced; what only AWS knows stays as `<Name>`."""
    return _resolve(value, values())


def _resolve(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_resolve(part, known) for part in value]
    if not isinstance(value, dict):
        return value
    if "Ref" in value:
        return known.get(value["Ref"], f"<{value['Ref']}>")
    if "Fn::GetAtt" in value:
        return f"<{'.'.join(value['Fn::GetAtt'])}>"
    if "Fn::FindInMap" in value:
        table, *keys = _resolve(value["Fn::FindInMap"], known)
        found = translated()["Mappings"][table]
        for key in keys:
            found = found[key]
        return found
    if "Fn::Sub" in value:
        text = value["Fn::Sub"]
        for name, text_of_it in known.items():
            text = text.replace(f"${{{name}}}", text_of_it)
        return text
    return {name: _resolve(part, known) for name, part in value.items()}
