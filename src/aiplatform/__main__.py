"""The command line as ``python -m aiplatform``, for when its script is not on the PATH."""

from aiplatform.cli.main import main

if __name__ == "__main__":
    main()
