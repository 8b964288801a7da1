"""Write docs/*.schema.json from the models: ``python docs/make_schemas.py``."""

import json
from pathlib import Path

from clir_bench.submission import Submission
from clir_bench.task import Task

for name, model in (("submission", Submission), ("task", Task)):
    path = Path(__file__).with_name(f"{name}.schema.json")
    path.write_text(json.dumps(model.model_json_schema(by_alias=True), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
