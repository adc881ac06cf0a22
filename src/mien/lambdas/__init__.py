"""The functions of infra/template.yaml on AWS Lambda: `upload`, `recognize`, `people` and `reconcile`."""
