"""Questions of benchmarks/query.py to idc-index's client, in the environment of the peers: answers and times as JSON.

python idc_index_queries.py QUESTIONS.json

QUESTIONS.json: SQL of the table `index`, by name. The client keeps its table in pandas and asks it through DuckDB.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

from idc_index import IDCClient


def main() -> None:
    questions = json.loads(Path(sys.argv[1]).read_text())
    client = IDCClient()
    answers = {}
    for name, question in questions.items():
        start = time.perf_counter()
        answer = client.sql_query(question)
        answers[name] = {"rows": len(answer), "seconds": time.perf_counter() - start}
    print(json.dumps({"version": version("idc-index"), "answers": answers}))


if __name__ == "__main__":
    main()
