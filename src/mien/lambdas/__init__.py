"""Run infra/template.yaml's functions on AWS Lambda: `upload`, `recognize`, `people` and `reconcile`."""
