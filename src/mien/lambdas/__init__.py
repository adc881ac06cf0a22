"""Run infra/app.yaml's functions on AWS Lambda: `upload`, `recognize`, `people` and `reconcile`."""
