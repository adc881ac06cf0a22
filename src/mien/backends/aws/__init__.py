"""Run the application on AWS: its bucket on S3, its recognizer on Rekognition, its catalog on DynamoDB.

Importing it raises SetupError where AWS's libraries are not installed.
"""

from importlib.util import find_spec

from mien.domain.errors import SetupError

LIBRARIES = ("boto3", "botocore")

if not all(map(find_spec, LIBRARIES)):
    raise SetupError("The backend for AWS needs boto3: pip install '.[aws]' in Mien's folder.")
