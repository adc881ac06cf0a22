"""Deploy, destroy, erase or migrate a stage. `make` calls it with the SAM CLI's own Python, which has all it needs.

A stage is two stacks: mien-STAGE-data (data.yaml) has what is kept, mien-STAGE (app.yaml) the application.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import checks
import kept
import stacks
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError, ProfileNotFound
from samtranslator.yaml_helper import yaml_parse
from stacks import Refused

HERE = Path(__file__).parent
PLAIN = "dev"
"""The stage whose resources have the plain names."""
STAGE = re.compile("[a-z][a-z0-9]{0,9}")
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403")
SAM = Path(sys.executable).with_name("sam")
SAM_STACK = "aws-sam-cli-managed-default"


@dataclass(frozen=True)
class Stage:
    """A stage of one account and region.

    Attributes:
        name: Such as `dev`.
        templates: The folder of data.yaml and app.yaml.
        given: Parameters of both templates that the caller sets.
    """

    name: str
    account: str
    region: str
    templates: Path
    given: dict[str, str]

    @property
    def app(self) -> str:
        return f"mien-{self.name}"

    @property
    def data(self) -> str:
        return f"mien-{self.name}-data"

    def template(self, part: str) -> dict[str, Any]:
        parsed: dict[str, Any] = yaml_parse((self.templates / f"{part}.yaml").read_text("utf-8"))
        return parsed

    def data_parameters(self) -> dict[str, str]:
        """Return the value of each parameter of data.yaml: the given one, else the present one, else the default."""
        suffix = "" if self.name == PLAIN else f"-{self.name}"
        defaults = {name: str(each["Default"]) for name, each in self.template("data")["Parameters"].items()}
        for name in ("BucketPrefix", "CollectionId", "FacesTableName", "RecognitionsTableName", "RecordsTableName"):
            defaults[name] += suffix
        known = defaults | stacks.find(self.data).parameters | self.given | {"Stage": self.name}
        return {name: known[name] for name in defaults}

    def kept(self) -> list[kept.Kept]:
        return list(kept.names(self.data_parameters(), self.account, self.region))


def deploy(stage: Stage) -> None:
    """Deploy both stacks: what is new is created, what was kept is taken up, and what has not changed stays."""
    _refuse_legacy(stage)
    _access_log(stage)
    deploy_data(stage)
    deploy_app(stage)


def deploy_data(stage: Stage) -> None:
    parameters = stage.data_parameters()
    checks.bucket_name(stage.kept()[0].name)
    if not parameters["RekognitionEndpoint"]:
        checks.rekognition(stage.region)
    stacks.settled(stage.data)
    _adopt(stage)
    changed = stacks.apply(stage.data, stage.template("data"), parameters)
    _say(f"{stage.data}: {'deployed' if changed else 'has not changed'}")


def deploy_app(stage: Stage) -> None:
    stacks.settled(stage.app)
    data = stacks.find(stage.data)
    declared = stage.template("app")["Parameters"]
    joined = data.parameters | data.outputs | stage.given | {"Stage": stage.name}
    values = {name: value for name, value in joined.items() if name in declared}
    values["AccessLog"] = _access_log(stage)
    options = ["--resolve-s3", "--s3-prefix", stage.app, "--capabilities", "CAPABILITY_IAM", "--no-progressbar"]
    command = [SAM, "deploy", "--template", stage.templates / "app.yaml", "--stack-name", stage.app, *options]
    overrides = [f'{name}="{_escaped(value)}"' for name, value in sorted(values.items())]
    quiet = ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--region", stage.region]
    done = subprocess.run([*command, *quiet, "--parameter-overrides", *overrides], check=False)  # noqa: S603
    if done.returncode:
        raise Refused(f"{stage.app} could not be deployed; SAM says why above. {stage.data} is in place; run it again.")
    _say(f"{stage.app}: deployed at {stacks.find(stage.app).outputs['ApiUrl']}")


def destroy(stage: Stage) -> None:
    """Delete the application, and keep the data."""
    _refuse_legacy(stage)
    _say(f"{stage.app}: deleted" if stacks.remove(stage.app) else f"{stage.app}: there is none")
    _remove_packages(stage.app)
    _tell_what_is_left(stage, stage.kept(), kept.elsewhere(stage.data_parameters()))


def erase(stage: Stage, confirmed: str | None) -> None:
    """Delete what the stage keeps, by name, when the caller repeats the bucket's name.

    The stack goes last: interrupted anywhere, the next run reads from it what is called as the stage's owner chose.
    """
    _refuse_legacy(stage)
    if stacks.find(stage.app).status:
        raise Refused(f"The application {stage.app} still uses the data. Run `make destroy STAGE={stage.name}` first.")
    everything, elsewhere = stage.kept(), kept.elsewhere(stage.data_parameters())
    found = [(each, there) for each in everything if (there := kept.described(each)) is not None]
    _check_owners(stage, found)
    for each, there in found:
        _say(f"erases {each} ({kept.contents(each, there)})")
    stack = stacks.find(stage.data)
    if not found and not stack.status:
        _say(f"Nothing is left of the stage {stage.name} in {stage.account}, {stage.region}, under these names.")
        return
    _confirm(everything[0].name, confirmed)
    for each, _ in found:
        kept.erase(each)
        _say(f"erased {each}")
    if stacks.remove(stage.data):
        _say(f"{stage.data}: deleted, with the queues")
    _tell_what_is_left(stage, everything, elsewhere)


def migrate(stage: Stage) -> None:
    """Turn a stack of the single template of earlier versions into the two of today, with its data, keys and URL.

    1. The old stack lets go of bucket, tables and collection; its functions go on working. 2. The data stack takes them
    up, and the API keys; new photos go into its queue. 3. When the old queue is empty, the application follows.
    Interrupted anywhere, it goes on when it is run again.
    """
    old = stacks.settled(stage.app)
    if "DataStores" not in old.parameters:
        raise Refused(f"{stage.app} is not a stack of an earlier version; `make deploy STAGE={stage.name}` is enough.")
    renamed = {"BucketPrefix": old.parameters["BucketName"]}
    moved = Stage(stage.name, stage.account, stage.region, stage.templates, old.parameters | renamed | stage.given)
    queue, secret = (stacks.resources(stage.app)[name] for name in ("UploadQueue", "ApiKeys"))
    if old.parameters["DataStores"] == "create":
        _release(old)
    deploy_data(moved)
    secrets = boto3.client("secretsmanager")
    keys = secrets.get_secret_value(SecretId=secret)["SecretString"]
    secrets.put_secret_value(SecretId=stacks.find(stage.data).outputs["ApiKeysSecret"], SecretString=keys)
    _wait_until_empty(queue)
    declared = stage.template("app")["Parameters"].keys() | stage.template("data")["Parameters"].keys()
    joined = stacks.find(stage.data).outputs.keys()
    given = {name: value for name, value in moved.given.items() if name in declared and name not in joined}
    deploy_app(Stage(stage.name, stage.account, stage.region, stage.templates, given))
    _say("Migrated. `mien repair --report` tells whether an event was lost on the way.")


def _release(old: stacks.Stack) -> None:
    """Let the old stack forget its data, which its own template provides for."""
    parameters = [{"ParameterKey": name, "UsePreviousValue": True} for name in old.parameters if name != "DataStores"]
    boto3.client("cloudformation").update_stack(
        StackName=old.name,
        UsePreviousTemplate=True,
        Parameters=[*parameters, {"ParameterKey": "DataStores", "ParameterValue": "existing"}],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    stacks.settled(old.name)
    _say(f"{old.name}: has let go of its data")


def _wait_until_empty(queue: str) -> None:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    while True:
        counts = boto3.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        waiting = sum(int(counts[name]) for name in names)
        if not waiting:
            return
        _say(f"{waiting} photos wait in the old queue")
        time.sleep(5)


def _adopt(stage: Stage) -> None:
    """Take up what exists already under the names of the data stack.

    Raises Refused for what is somebody else's, and for what the stack has under another name, or not any more.
    """
    stack = stacks.find(stage.data)
    own = stacks.resources(stage.data) if stack.exists else {}
    found = []
    for each in stage.kept():
        there = kept.described(each)
        if each.logical in own:
            kept.check_own(each, own[each.logical], there, stage.name)
        elif there is not None:
            found.append((each, there))
    _check_owners(stage, found)
    declared = stage.template("data")["Resources"]
    if "BucketPolicy" in declared and "BucketPolicy" not in own:
        kept.make_way(stage.kept()[0].name)
    if not found:
        return
    template = stacks.template(stage.data) if stack.exists else {"Resources": {}}
    imports = []
    for each, there in found:
        template["Resources"][each.logical] = kept.definition(each, there, declared[each.logical])
        kind = {"ResourceType": declared[each.logical]["Type"], "LogicalResourceId": each.logical}
        imports.append({**kind, "ResourceIdentifier": kept.identifier(each, there)})
        _say(f"takes up {each}")
    stacks.apply(stage.data, template, stack.parameters, imports)


def _check_owners(stage: Stage, found: list[tuple[kept.Kept, dict[str, Any]]]) -> None:
    for each, there in found:
        (physical,) = kept.identifier(each, there).values()
        if (owner := stacks.owner(physical)) not in {None, stage.data}:
            raise Refused(
                f"The {each} belongs to the stack {owner}. Choose other names with WITH, or delete that stack."
            )


def _access_log(stage: Stage) -> str:
    return checks.access_log(stage.given.get("AccessLog", stacks.find(stage.app).parameters.get("AccessLog")))


def _refuse_legacy(stage: Stage) -> None:
    if "DataStores" in stacks.find(stage.app).parameters:
        raise Refused(
            f"{stage.app} is of an earlier version, with the data in it. Run `make migrate STAGE={stage.name}` first: "
            "it keeps data, API keys and URL."
        )


def _confirm(bucket: str, confirmed: str | None) -> None:
    if confirmed is None:
        _say("Photos, faces, names and API keys cannot be brought back. Type the bucket's name to erase them:")
        confirmed = sys.stdin.readline().strip()
    if confirmed != bucket:
        raise Refused(f"Nothing was erased: that is not {bucket}.")


def _remove_packages(prefix: str) -> None:
    bucket = stacks.find(SAM_STACK).outputs.get("SourceBucket")
    if bucket:
        packages: Any = boto3.resource("s3").Bucket(bucket)
        packages.object_versions.filter(Prefix=f"{prefix}/").delete()


def _tell_what_is_left(stage: Stage, everything: list[kept.Kept], elsewhere: str) -> None:
    left = [str(each) for each in everything if kept.described(each) is not None]
    if stacks.find(stage.data).status:
        left.append(f"stack {stage.data} with the queues")
    for each in left:
        _say(f"kept {each}")
    if left:
        _say(f"`make deploy STAGE={stage.name}` takes it up again; `make erase STAGE={stage.name}` erases it.")
    else:
        _say(f"Nothing is left of the stage {stage.name} in this account.")
    if elsewhere:
        _say(elsewhere)
    if stacks.find(SAM_STACK).exists:
        _say(f"The stack {SAM_STACK} is SAM's own, for code of all applications; Mien's code in it is deleted.")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _say(sentence: str) -> None:
    print(sentence, flush=True)  # noqa: T201


def _stage(options: argparse.Namespace) -> Stage:
    if not STAGE.fullmatch(options.stage):
        raise Refused(
            f"A stage cannot be called {options.stage!r}: it is one to ten small letters and digits, a letter first."
        )
    given = dict(pair.partition("=")[::2] for pair in options.parameters)
    stage = Stage(options.stage, "", "", options.templates, given)
    data, app = stage.template("data"), stage.template("app")
    declared = app["Parameters"] | data["Parameters"]  # those of the data are repeated without their constraints
    checks.parameters(given, {n: p for n, p in declared.items() if n not in data["Outputs"] and n != "Stage"})
    region = boto3.Session().region_name
    if not region:  # also an empty one, which boto3 takes for a name
        raise NoRegionError
    account = boto3.client("sts").get_caller_identity()["Account"]
    return Stage(options.stage, account, region, options.templates, given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["deploy", "destroy", "erase", "migrate"])
    parser.add_argument("stage")
    parser.add_argument("parameters", nargs="*", help="parameters of the templates, as NAME=VALUE")
    parser.add_argument("--templates", type=Path, default=HERE, help="the folder of data.yaml and app.yaml")
    parser.add_argument("--confirm", help="the bucket's name, to erase without being asked")
    options = parser.parse_intermixed_args()
    try:
        stage = _stage(options)
        match options.command:
            case "deploy":
                deploy(stage)
            case "destroy":
                destroy(stage)
            case "erase":
                erase(stage, options.confirm)
            case "migrate":
                migrate(stage)
    except Refused as refusal:
        sys.exit(str(refusal))
    except KeyboardInterrupt:
        sys.exit("Interrupted. AWS ends what it has begun; run the same command again, and it goes on from there.")
    except (NoRegionError, NoCredentialsError, ProfileNotFound) as error:
        sys.exit(f"{str(error).rstrip(chr(46))}. Set AWS_DEFAULT_REGION and AWS_PROFILE, or run `aws configure`.")
    except ClientError as error:
        sys.exit(_advice(error))
    except BotoCoreError as error:
        sys.exit(f"AWS cannot be reached: {error} Check region and network, then run the same command again.")


def _advice(error: ClientError) -> str:
    code, operation = error.response["Error"]["Code"], error.operation_name
    if code in DENIED:
        return f"These credentials lack the permission for {operation}: {error}"
    if code in {"ExpiredToken", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch"}:
        return f"AWS does not accept these credentials ({code}). Sign in again, then run the same command."
    return f"AWS refused {operation}: {error}"


if __name__ == "__main__":
    main()
