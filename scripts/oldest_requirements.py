"""Print the oldest versions that pyproject.toml allows, as constraints for pip.

Every direct requirement of the package, of ``train`` and of ``test`` that has a lower bound is pinned to it.
"""

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
EXTRAS = ("train", "test")
BOUND = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?\s*>=\s*(?P<version>[0-9][0-9a-z.]*)")


def oldest(project: dict) -> list[str]:
    """Lines ``name==version`` of a parsed ``[project]`` table, sorted."""
    requirements = [*project["dependencies"]]
    for extra in EXTRAS:
        requirements += project["optional-dependencies"][extra]
    bounds = [match for match in map(BOUND.match, requirements) if match]
    return sorted(f"{bound['name']}=={bound['version']}" for bound in bounds)


if __name__ == "__main__":
    print("\n".join(oldest(tomllib.loads(PROJECT.read_text())["project"])))
