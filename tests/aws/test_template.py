"""The template says what docs/deploy-aws.md promises, before and after SAM's translation."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from cfnlint import lint_file  # type: ignore[import-untyped]
from samtranslator.yaml_helper import yaml_parse

from mien.api import problems
from mien.app.reconciliation import Counts
from mien.backends.aws import clients
from mien.lambdas import api_gateway, queue_messages, reconcile, upload_queue
from tests.aws import stack

NAMED = r"\w*(?<!Metric)(?<!Domain)Name|CollectionId"
"""Properties that name a resource of CloudFormation; the metric's is a kind, the domain's the operator's."""


CALLS_REKOGNITION = (
    *(("GET", "recognize"), ("HEAD", "recognize"), ("POST", "recognize"), ("POST", "compare"), ("POST", "detect")),
    *(("POST", "rejections"), ("GET", "health"), ("HEAD", "health")),
)


def _findings(file: Path) -> list[str]:
    return [f"{match.rule.id} {match.message}" for match in lint_file(file)]


@pytest.mark.parametrize("template", [stack.DATA, stack.APP], ids=lambda path: path.stem)
def test_cfn_lint_finds_nothing_in_the_source(template: Path) -> None:
    assert _findings(template) == []


def test_cfn_lint_finds_nothing_in_the_translation(tmp_path: Path) -> None:
    """Only here do circular dependencies show."""
    file = tmp_path / "translated.json"
    file.write_text(json.dumps(stack.translated()))
    assert _findings(file) == []


def test_the_bucket_is_closed_encrypted_and_tells_the_queue() -> None:
    (bucket,) = stack.resources("AWS::S3::Bucket").values()
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert "BucketEncryption" in bucket
    events = stack.resolve(bucket["NotificationConfiguration"]["QueueConfigurations"])
    kinds = {f"s3:{kind}:*" for kind in (queue_messages.CREATED, *queue_messages.REMOVED)}
    assert {event["Event"] for event in events} == kinds
    for event in events:
        assert event["Queue"] == "<UploadQueue.Arn>"
        assert event["Filter"]["S3Key"]["Rules"] == [{"Name": "prefix", "Value": "uploaded/"}]
    (policy,) = stack.resources("AWS::S3::BucketPolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_data_survives_the_stack() -> None:
    data = {
        "AWS::S3::Bucket",
        "AWS::S3::BucketPolicy",
        "AWS::Rekognition::Collection",
        "AWS::DynamoDB::Table",
        "AWS::SecretsManager::Secret",
    }
    resources = stack.data()["Resources"].values()
    assert {resource["Type"] for resource in resources} == data | {"AWS::SQS::Queue", "AWS::SQS::QueuePolicy"}
    for resource in (each for each in resources if each["Type"] in data):
        assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
        assert resource["UpdateReplacePolicy"] == "Retain"
    assert not data & {resource["Type"] for resource in stack.translated()["Resources"].values()}


def test_the_application_is_joined_to_the_data() -> None:
    """`make deploy` passes on what the data stack has under the name of a parameter."""
    given = stack.data()["Outputs"].keys() | stack.data()["Parameters"].keys()
    without_default = {name for name, p in stack.translated()["Parameters"].items() if "Default" not in p}
    assert without_default <= given
    assert stack.data()["Outputs"].keys() <= without_default  # what nothing reads is no output


def test_every_parameter_is_in_the_document() -> None:
    declared = stack.data()["Parameters"].keys() | stack.translated()["Parameters"].keys()
    told = re.findall("`([A-Z][A-Za-z]+)`", (stack.INFRA.parent / "docs" / "deploy-aws.md").read_text())
    assert declared - stack.data()["Outputs"].keys() - {"Stage"} - set(told) == set()


def test_names_are_those_that_were_asked_for() -> None:
    assert stack.resolve(stack.resources("AWS::S3::Bucket")["Bucket"]["BucketName"]).startswith(
        "facial-recognition-bucket-"
    )
    (collection,) = stack.resources("AWS::Rekognition::Collection").values()
    assert stack.resolve(collection["CollectionId"]) == "face-collection"
    table = stack.resolve(stack.resources("AWS::DynamoDB::Table")["FacesTable"])
    assert (table["TableName"], table["KeySchema"]) == (
        "FaceMetadata",
        [{"AttributeName": "FaceId", "KeyType": "HASH"}],
    )


@pytest.mark.parametrize("table", ["FacesTable", "RecognitionsTable", "RecordsTable"])
def test_tables_scale_and_can_be_restored(table: str) -> None:
    properties = stack.resources("AWS::DynamoDB::Table")[table]
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["DeletionProtectionEnabled"]
    recovery = stack.resolve(properties["PointInTimeRecoverySpecification"])
    assert recovery == {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": "35"}
    condition, with_own_key, otherwise = properties["SSESpecification"]["Fn::If"]
    assert (condition, with_own_key["KMSMasterKeyId"]) == ("HasCustomerKey", {"Ref": "CustomerKey"})
    assert with_own_key["SSEEnabled"]
    assert otherwise["SSEEnabled"]


def test_a_burst_waits_and_a_failure_is_set_aside() -> None:
    mappings = stack.resources("AWS::Lambda::EventSourceMapping")
    for each in mappings.values():
        assert (each["FunctionResponseTypes"], each["BatchSize"]) == (["ReportBatchItemFailures"], 1)
    mapping = mappings["UploadFunctionImageChanged"]
    assert stack.resolve(mappings["FailedFunctionDeadLetters"]["EventSourceArn"]) == "<UploadDeadLetters.Arn>"
    assert stack.resolve(mapping["ScalingConfig"]) == {"MaximumConcurrency": 2}
    queue = stack.resolve(stack.resources("AWS::SQS::Queue")["UploadQueue"])
    function = stack.resources("AWS::Lambda::Function")["UploadFunction"]
    assert queue["VisibilityTimeout"] >= 2 * function["Timeout"]
    assert function["Timeout"] > upload_queue.ATTEMPT_SECONDS
    attempts = int(function["Environment"]["Variables"]["AWS_MAX_ATTEMPTS"])
    seconds_per_attempt = (clients.SECONDS_PER_CALL - 1) / clients.ATTEMPTS
    assert attempts * seconds_per_attempt + 2**attempts <= upload_queue.ATTEMPT_SECONDS
    assert queue["RedrivePolicy"] == {
        "deadLetterTargetArn": "<UploadDeadLetters.Arn>",
        "maxReceiveCount": upload_queue.MAX_RECEIVES,
    }


def test_a_call_that_hangs_ends_before_its_function_and_that_before_the_gateway() -> None:
    gateway = 29  # seconds that it waits by default
    functions = stack.resources("AWS::Lambda::Function")
    for name in ("RecognizeFunction", "PeopleFunction"):
        assert clients.SECONDS_PER_CALL < functions[name]["Timeout"] < gateway
    assert clients.SECONDS_PER_CALL < api_gateway.GATEWAY_SECONDS < gateway


def test_the_policies_by_which_the_api_calls_functions_fit() -> None:
    """Lambda takes 20 kB of them for each function, and SAM writes a statement for each route."""
    sizes: dict[str, int] = {}
    for name, permission in stack.resources("AWS::Lambda::Permission").items():
        statement = {
            "Sid": f"mien-abcdefghij-{name}-ABCDEFGHIJKL",
            "Effect": "Allow",
            "Principal": {"Service": "apigateway.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": f"arn:aws:lambda:ap-southeast-1:{stack.ACCOUNT}:function:mien-abcdefghij-authorizer",
            "Condition": {"ArnLike": {"AWS:SourceArn": permission["SourceArn"]["Fn::Sub"][0]}},
        }
        function = json.dumps(permission["FunctionName"])
        sizes[function] = sizes.get(function, 0) + len(json.dumps(statement))
    assert len(sizes) == 4
    assert max(sizes.values()) < 20_000


def test_no_name_of_one_stage_is_that_of_another() -> None:
    """SAM itself names a schedule after the function, alike in every stack, and AWS then refuses the second stage."""
    for name, resource in (stack.data()["Resources"] | stack.translated()["Resources"]).items():
        own = {key: value for key, value in resource["Properties"].items() if re.fullmatch(NAMED, key)}
        written = [value for value in own.values() if isinstance(value, str)]
        assert written == [], f"{name} is called {written} in every stage"


@pytest.mark.parametrize(
    ("parameter", "default", "needed"),
    [("JwtIssuer", "", "JwtAudience"), ("MonthlyBudget", "0", "AlarmEmail"), ("DomainName", "", "DomainCertificate")],
)
def test_a_parameter_without_the_one_that_it_needs_is_refused(parameter: str, default: str, needed: str) -> None:
    def is_set(name: str, nothing: str) -> dict[str, Any]:
        return {"Fn::Not": [{"Fn::Equals": [{"Ref": name}, nothing]}]}

    assertion = {"Assert": is_set(needed, ""), "AssertDescription": f"{parameter} needs {needed}."}
    expected = {"RuleCondition": is_set(parameter, default), "Assertions": [assertion]}
    assert expected in stack.translated()["Rules"].values()


def test_a_function_that_calls_itself_is_not_stopped() -> None:
    functions = stack.resources("AWS::Lambda::Function")
    assert {name for name, each in functions.items() if each.get("RecursiveLoop") == "Allow"} == {"ReconcileFunction"}


@pytest.mark.parametrize(
    ("arn", "is_taken"),
    [
        ("", True),
        ("arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab", True),
        ("arn:aws:kms:eu-central-1:123456789012:alias/photos", False),  # roles' policies cannot name keys by alias
    ],
)
def test_a_key_in_kms_is_named_by_its_own_arn(arn: str, is_taken: bool) -> None:
    pattern = stack.data()["Parameters"]["CustomerKey"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, arn)) is is_taken


def test_every_function_logs_to_a_group_with_retention() -> None:
    groups = stack.resources("AWS::Logs::LogGroup")
    assert all("RetentionInDays" in group for group in groups.values())
    for function in stack.resources("AWS::Lambda::Function").values():
        assert function["LoggingConfig"]["LogGroup"]["Ref"] in groups
        assert function["TracingConfig"] == {"Mode": "Active"}


def test_every_alarm_tells_somebody_also_when_it_ends() -> None:
    alarms = stack.resources("AWS::CloudWatch::Alarm")
    assert {"ErrorsAlarm", "DeadLettersAlarm", "ThrottledAlarm", "TableThrottlesAlarm", "LatencyAlarm"} <= alarms.keys()
    for alarm in alarms.values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}]


def test_only_the_alarm_of_what_did_not_happen_rings_without_data() -> None:
    alarms = stack.resources("AWS::CloudWatch::Alarm")
    missed = alarms.pop("ReconciliationMissedAlarm")
    assert (missed["TreatMissingData"], missed["ComparisonOperator"]) == ("breaching", "LessThanThreshold")
    assert (missed["MetricName"], missed["Period"]) == ("Invocations", 24 * 60 * 60)
    assert {alarm["TreatMissingData"] for alarm in alarms.values()} == {"notBreaching"}


def test_what_several_sources_count_is_added_up_also_when_some_are_silent() -> None:
    for name in ("ErrorsAlarm", "FunctionThrottlesAlarm", "TableThrottlesAlarm"):
        metrics = stack.resources("AWS::CloudWatch::Alarm")[name]["Metrics"]
        assert [m["Expression"] for m in metrics if "Expression" in m] == ["SUM(FILL(METRICS(), 0))"]
        assert len({json.dumps(m["MetricStat"]["Metric"]) for m in metrics if "MetricStat" in m}) >= 4


def test_the_access_log_tells_nothing_of_anybody() -> None:
    """A path or a query holds ids and names, and an address is somebody's; the key's id is what may be kept."""
    (gateway,) = stack.resources("AWS::ApiGateway::Stage").values()
    condition, settings, otherwise = gateway["AccessLogSetting"]["Fn::If"]
    assert (condition, otherwise) == ("HasAccessLog", {"Ref": "AWS::NoValue"})
    line = stack.resolve(settings["Format"])
    assert set(re.findall(r"\$context\.([A-Za-z.]+)", line)) == {
        *("requestTimeEpoch", "httpMethod", "resourcePath", "status", "responseLatency", "responseLength"),
        *("authorizer.principalId", "error.responseType", "requestId", "extendedRequestId"),
    }
    assert "\n" not in line
    assert json.loads(re.sub(r"\$context\.status", "401", line))["service"] == "mien-dev"
    group = stack.translated()["Resources"][settings["DestinationArn"]["Fn::GetAtt"][0]]
    assert (group["Condition"], "RetentionInDays" in group["Properties"]) == ("HasAccessLog", True)


def test_bursts_of_refused_calls_ring() -> None:
    """The functions count what they and the authorizer refuse, the access log also what the gateway refuses."""
    alarms = stack.resources("AWS::CloudWatch::Alarm")
    (counted,) = stack.resources("AWS::Logs::MetricFilter").values()
    assert counted["FilterPattern"] == "{ $.status = 401 || $.status = 403 }"
    (to,) = counted["MetricTransformations"]
    assert to["Dimensions"] == [{"Key": "service", "Value": "$.service"}]
    for name, metric in (("KeysRefusedAlarm", "KeysRefused"), ("CallsRefusedAlarm", to["MetricName"])):
        alarm = stack.resolve(alarms[name])
        assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == ("Mien", metric, "Sum")
        assert alarm["Dimensions"] == [{"Name": "service", "Value": "mien-dev"}]
    for name in ("AccessLogs", "CallsRefused", "CallsRefusedAlarm"):  # without the log, nothing is counted
        assert stack.translated()["Resources"][name]["Condition"] == "HasAccessLog"


def test_every_metric_of_the_functions_is_read(counted: set[str]) -> None:
    (dashboard,) = stack.resources("AWS::CloudWatch::Dashboard").values()
    alarms = stack.resources("AWS::CloudWatch::Alarm").values()
    read = set(re.findall(r'"([A-Z]\w+)"', dashboard["DashboardBody"]["Fn::Sub"]))
    read |= {alarm["MetricName"] for alarm in alarms if alarm.get("Namespace") == "Mien"}
    assert len(counted) > 20
    assert counted - read == set()


@pytest.fixture
def counted() -> set[str]:
    """The metrics that the functions count, as their code has them."""
    lambdas = Path(upload_queue.__file__).parent.glob("*.py")
    written = {name for module in lambdas for name in re.findall(r'count\(\s*"(\w+)"', module.read_text())}
    of_photos = set(api_gateway._STATUS_METRICS.values())
    return written | of_photos | {reconcile.metric(field.name) for field in fields(Counts) if field.name != "faces"}


def test_one_quota_sets_every_throttle() -> None:
    """More photos than the quota are neither let through nor indexed at once."""
    quotas = stack.translated()["Mappings"]["Quotas"]
    assert list(quotas) == stack.translated()["Parameters"]["RekognitionQuota"]["AllowedValues"]
    for quota, limits in quotas.items():
        assert 2 <= limits["Uploads"] <= max(2, int(quota) / 2)  # Lambda's least is 2
        assert limits["Photos"] == int(quota)
        assert limits["Photos"] < limits["Requests"] < limits["RequestBurst"]


def test_the_dashboard_is_json() -> None:
    (dashboard,) = stack.resources("AWS::CloudWatch::Dashboard").values()
    assert json.loads(dashboard["DashboardBody"]["Fn::Sub"])["widgets"]


def test_the_api_takes_binary_images_and_is_throttled() -> None:
    (api,) = stack.resources("AWS::ApiGateway::RestApi").values()
    assert api["Body"]["x-amazon-apigateway-binary-media-types"] == ["*/*"]
    (stage,) = stack.resources("AWS::ApiGateway::Stage").values()
    limits = {(m["HttpMethod"], m["ResourcePath"]): stack.resolve(m) for m in stage["MethodSettings"]}
    assert limits["*", "/*"]["ThrottlingRateLimit"] == 20
    for method, route in CALLS_REKOGNITION:  # no more than Rekognition takes
        own = limits[method, f"/~1{route}"]
        assert (own["ThrottlingRateLimit"], own["ThrottlingBurstLimit"]) == (5, 10)
        assert method.lower() in api["Body"]["paths"][f"/{route}"]
    assert not any(method.get("MetricsEnabled") for method in limits.values())  # charged, and nothing reads them


def test_the_gateway_keeps_no_traces_of_its_urls() -> None:
    (gateway,) = stack.resources("AWS::ApiGateway::Stage").values()
    assert gateway["TracingEnabled"] is False


def test_the_reconciliation_waits_for_its_hour_and_only_reports_until_it_is_switched_on() -> None:
    (schedule,) = stack.resources("AWS::Scheduler::Schedule").values()
    assert schedule["ScheduleExpression"].startswith("cron(")  # a rate would start at deployment
    assert json.loads(stack.resolve(schedule["Target"]["Input"])) == {"mode": "report"}


def test_the_gateways_own_refusals_are_problem_documents() -> None:
    (api,) = stack.resources("AWS::ApiGateway::RestApi").values()
    answers = api["Body"]["x-amazon-apigateway-gateway-responses"]
    assert {
        "UNAUTHORIZED",
        "ACCESS_DENIED",
        "MISSING_AUTHENTICATION_TOKEN",
        "THROTTLED",
        "WAF_FILTERED",
    } <= answers.keys()
    assert {"AUTHORIZER_FAILURE", "INTEGRATION_FAILURE", "DEFAULT_5XX"} <= answers.keys()
    for kind, answer in answers.items():
        headers = answer["responseParameters"]
        assert headers["gatewayresponse.header.Content-Type"] == f"'{problems.MEDIA_TYPE}'"
        body = json.loads(answer["responseTemplates"]["application/json"])
        assert body["type"].startswith("urn:mien:")
        if kind == "DEFAULT_4XX":  # of several statuses, so that none can be written down
            assert {*body, "status"} == problems.document(400, "").keys()
            assert "statusCode" not in answer
        else:
            of_the_api = problems.document(int(answer["statusCode"]), body["detail"])
            assert (body.keys(), body["status"]) == (of_the_api.keys(), of_the_api["status"])
            assert ("gatewayresponse.header.Retry-After" in headers) is (body["status"] in {429, 503})
    assert "POST /uploads" in answers["REQUEST_TOO_LARGE"]["responseTemplates"]["application/json"]
    for unknown in ("MISSING_AUTHENTICATION_TOKEN", "RESOURCE_NOT_FOUND"):
        assert int(answers[unknown]["statusCode"]) == 404


def test_vectors_that_nothing_leads_to_raise_an_alarm_and_are_on_the_dashboard() -> None:
    alarm = stack.resources("AWS::CloudWatch::Alarm")["VectorsLeftAlarm"]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Threshold"]) == ("Mien", "VectorsLeft", 1)
    (dashboard,) = stack.resources("AWS::CloudWatch::Dashboard").values()
    for name in (field.name for field in fields(Counts) if field.name != "faces"):
        assert f'"{reconcile.metric(name)}"' in dashboard["DashboardBody"]["Fn::Sub"]


def test_a_reconciliation_that_stopped_raises_an_alarm() -> None:
    alarm = stack.resources("AWS::CloudWatch::Alarm")["RepairStoppedAlarm"]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Threshold"]) == ("Mien", "RepairsStopped", 1)
    assert stack.resolve(alarm["Dimensions"]) == [{"Name": "service", "Value": "mien-dev"}]


def test_the_drawing_shows_what_the_templates_have() -> None:
    path = stack.INFRA / "diagram.py"
    spec = importlib.util.spec_from_file_location("diagram", path)
    assert spec is not None
    assert spec.loader is not None
    diagram = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(diagram)
    assert diagram.DRAWING.read_text() == diagram.drawing(), "Run `python infra/diagram.py`."


def test_a_smoke_test_that_fails_fails_the_workflow() -> None:
    """GitHub's own choice of a shell passes over what fails before a pipe."""
    workflow = yaml_parse((stack.INFRA / "github-deploy.yaml").read_text())
    piped = [step for step in workflow["jobs"]["deploy"]["steps"] if "|" in step.get("run", "")]
    assert piped
    assert all(step["shell"] == "bash" for step in piped)
