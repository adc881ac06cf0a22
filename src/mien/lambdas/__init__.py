"""Entry points on AWS Lambda, one module for each function of infra/template.yaml."""
