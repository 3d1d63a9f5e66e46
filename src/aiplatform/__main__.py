"""``python -m aiplatform`` is the command line, for when the script is not on the PATH."""

from aiplatform.cli.main import main

if __name__ == "__main__":
    main()
