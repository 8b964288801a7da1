"""COMET's side of ``comet.py``: runs under an interpreter that has unbabel-comet, which cannot share ours. Imports nothing of clir-bench.

Called as ``comet_runner.py MODEL BATCH GPUS``. Every line of stdin is a JSON list of {src, mt}, every line of stdout the JSON list of its scores; the
first line of stdout says the versions. All that COMET prints goes to stderr.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from importlib.metadata import PackageNotFoundError, version


def main() -> int:
    """Answer requests until stdin ends."""
    model_name, batch, gpus = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the library prints must not stand among the scores
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  # this file must stay small for old interpreters
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != here]  # noqa: PTH100  # comet.py beside this file would be imported
    try:
        release = version("unbabel-comet")
    except PackageNotFoundError:
        release = "unknown"
    if release != "unknown" and importlib.util.find_spec("pkg_resources") is None:
        # Without it load_from_checkpoint silently skips the patch that checkpoints trained with sparsemax need, and gives other scores.
        sys.exit("unbabel-comet needs pkg_resources to load its checkpoints as they are: pip install 'setuptools<81' in that environment")
    from comet import download_model, load_from_checkpoint  # type: ignore[import-not-found,unused-ignore]

    path = download_model(model_name)
    model = load_from_checkpoint(path)
    print(json.dumps({"unbabel-comet": release, "checkpoint": str(path)}), file=answers, flush=True)
    for line in sys.stdin:
        output = model.predict(json.loads(line), batch_size=batch, gpus=_gpus() if gpus == "auto" else int(gpus), progress_bar=True)
        print(json.dumps([float(score) for score in output.scores]), file=answers, flush=True)
    return 0


def _gpus() -> int:
    import torch

    return 1 if torch.cuda.is_available() else 0


if __name__ == "__main__":
    sys.exit(main())
