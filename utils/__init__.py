"""The pipeline: a folder is a stage, and imports run down the floors (docs/ARCHITECTURE.md)."""
