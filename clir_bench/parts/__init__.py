"""Parts that a retriever is made of. Each fits a protocol of ``retrieval.py`` without importing it, or a sibling's logic."""
