"""The index as a script of ours makes it: `index_directory` and `Index.write`. Prints the seconds, imports not counted.

python our_index.py FOLDER OUT.parquet WARM

WARM is a folder of a few files that is indexed before: it loads the compiled code, as the first folder of a day does.
"""

import sys
import time

from medimagenet import index_directory


def main() -> None:
    folder, out, warm = sys.argv[1:]
    index_directory(warm)
    start = time.perf_counter()
    index_directory(folder).write(out)
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
