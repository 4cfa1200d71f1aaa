"""The questions of benchmarks/query.py in pandas, in the environment of the peers: answers and median times as JSON.

python pandas_queries.py idc_index.parquet SERIES_UID ROUNDS
"""

import json
import statistics
import sys
import time

import pandas as pd


def main() -> None:
    path, uid, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    start = time.perf_counter()
    table = pd.read_parquet(path)
    loaded = time.perf_counter() - start
    questions = {
        "filter": lambda: table[(table.Modality == "CT") & (table.instanceCount >= 60)],
        "studies with CT and RTSTRUCT": lambda: studies(table),
        "text": lambda: table[table.SeriesDescription.str.contains("liver", case=False, na=False, regex=False)],
        "one series": lambda: table[table.SeriesInstanceUID == uid],
    }
    answers = {}
    for name, question in questions.items():
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            answer = question()
            times.append(time.perf_counter() - start)
        answers[name] = {"rows": len(answer), "seconds": statistics.median(times)}
    print(json.dumps({"version": pd.__version__, "load": loaded, "answers": answers}))


def studies(table: pd.DataFrame) -> set:
    ct = table.loc[table.Modality == "CT", "StudyInstanceUID"]
    return set(ct) & set(table.loc[table.Modality == "RTSTRUCT", "StudyInstanceUID"])


if __name__ == "__main__":
    main()
