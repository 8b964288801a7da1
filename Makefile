# Two commands: `make evaluate` shows what clir-bench does, `make test` runs the whole suite. Both set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export HF_HUB_OFFLINE ?= 1

.PHONY: setup evaluate test lint bench clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "setting up $(VENV): a few minutes, the first time" >&2
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "clir-bench needs Python 3.11 to 3.13; choose one: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@HNSWLIB_NO_NATIVE=1 $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt hnswlib 2>/dev/null \
		|| echo "hnswlib was not built (it needs a C++ compiler): its tests are skipped, and --index hnsw needs --library faiss or usearch" >&2
	@touch $@

evaluate: setup
	@echo "evaluating BM25, then all-MiniLM-L6-v2: 384 documents, 768 queries" >&2
	@$(BIN)/clir-bench evaluate --quiet --task sample --model bm25 --output results --overwrite
	@$(BIN)/clir-bench evaluate --quiet --task sample --model demo --output results --overwrite
	@echo
	@$(BIN)/clir-bench show --brief results/*/*/sample-v*.json
	@echo
	@echo "next: $(BIN)/clir-bench evaluate --model intfloat/multilingual-e5-small --task sample   (any model of the hub, or a folder)"
	@echo "      $(BIN)/clir-bench show $$(ls results/*/*/sample-v*.json | head -1)"

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict clir_bench
	$(BIN)/clir-bench check

bench: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt '.[bench]'
	for script in benchmarks/[a-z]*.py; do $(BIN)/python $$script; done

clean:
	rm -rf $(VENV) results
