"""Run infra/app.yaml's functions on AWS Lambda: `upload`, `recognize`, `people`, `reconcile` and their helpers."""

import gc
import os

if os.environ.get("_HANDLER", "").startswith(f"{__name__}."):
    # Loading modules makes no garbage, and looking for it takes a fifth of the time. `deadline.prepare` ends it.
    gc.disable()
