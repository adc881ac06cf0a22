"""Write logs, metrics and traces of the functions. None of them tells whose photo it was, or which."""

from __future__ import annotations

import logging
import warnings

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.logging.utils import copy_config_to_registered_loggers
from aws_lambda_powertools.metrics import MetricUnit

logger = Logger()
logging.getLogger("mien")  # the next line configures only loggers that exist
copy_config_to_registered_loggers(logger, include={"mien"})
MODEL = "rekognition"
"""The model in entries of the audit log: AWS does not say which version answered."""

metrics = Metrics()
tracer = Tracer()

warnings.filterwarnings("ignore", "No application metrics to publish")  # most requests count nothing


def count(name: str, number: int = 1) -> None:
    """Add to a CloudWatch metric of the function's namespace."""
    metrics.add_metric(name, MetricUnit.Count, number)
