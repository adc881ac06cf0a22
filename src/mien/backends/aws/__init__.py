"""Run the application on AWS: its bucket on S3, its recognizer on Rekognition, its catalog on DynamoDB."""
