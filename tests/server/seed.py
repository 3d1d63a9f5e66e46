"""The SQL files of the schema contract: schema, data and database."""

from pathlib import Path

SEED = Path(__file__).parents[1] / "fixtures" / "seed"
SCHEMA = (SEED / "schema.sql").read_text("utf-8")
DATA = (SEED / "data.sql").read_text("utf-8")
DATABASE = (SEED / "database.sql").read_text("utf-8")
