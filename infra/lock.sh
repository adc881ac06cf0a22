#!/usr/bin/env bash
# Renews locks/: every package that pyproject.toml leads to, pinned by version and by the hashes of its files.
# `infra/lock.sh` keeps what still fits; `infra/lock.sh --upgrade` takes the newest releases that fit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export UV_CUSTOM_COMPILE_COMMAND="make lock"

lock() { # NAME ARGUMENT…
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --annotation-style line \
    --output-file "locks/$1.txt" "${@:2}"
}

lock dev pyproject.toml --extra aws --extra evaluate --group build --group dev "$@"
lock run pyproject.toml --group build -c locks/dev.txt "$@"
lock bench --group bench -c locks/dev.txt "$@"
lock lambda --group lambda -c locks/dev.txt "$@"
lock checkov --group checkov "$@"
lock ministack --group ministack "$@"
lock sam --group sam --group build "$@"
lock docs --group docs "$@"
lock stack --group stack --group build -c locks/dev.txt "$@"
