"""Write logs and metrics of the functions. Neither tells whose photo it was, or which.

The functions trace nothing themselves: X-Ray's SDK records the keys and error texts of AWS calls, which hold user ids.
Lambda itself still traces how long each call of a function took.
"""

from __future__ import annotations

import logging
import warnings

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging.utils import copy_config_to_registered_loggers
from aws_lambda_powertools.metrics import MetricUnit

logger = Logger()
logging.getLogger("mien")  # the next line configures only loggers that exist
copy_config_to_registered_loggers(logger, include={"mien"})
logging.getLogger("mangum").setLevel(logging.CRITICAL)
"""It logs exceptions with their messages, which may quote a client; the API logs them without."""

MODEL = "rekognition"
"""The model in entries of the audit log: AWS does not say which version answered."""

metrics = Metrics()

warnings.filterwarnings("ignore", "No application metrics to publish")  # most requests count nothing


def count(name: str, number: int = 1) -> None:
    """Add to a CloudWatch metric of the function's namespace."""
    metrics.add_metric(name, MetricUnit.Count, number)
