"""Write the API's OpenAPI document, from which the types of the web interface are generated."""

import json
import sys
from pathlib import Path

from aiplatform.server.app import create_app

if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(json.dumps(create_app().openapi(), indent=1), "utf-8")
