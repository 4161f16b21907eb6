"""Runs statements as analysts do: with Python's sqlite3, DuckDB's sqlite scanner, or Datasette over HTTP.

Called as `clients.py CLIENT DATABASE EXTENSION`, where EXTENSION is a loadable extension or `-`. Statements come in as a JSON
object `{name: sql}`; `{name: {"rows": [...]}}` or `{name: {"error": "..."}}` goes out.
"""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


def each(statements, run):
    """What `run` says of every statement."""
    found = {}
    for name, sql in statements.items():
        try:
            found[name] = {"rows": run(sql)}
        except Exception as error:  # Whatever a client says is told.
            found[name] = {"error": f"{type(error).__name__}: {error}"}
    return found


def python(path, extension, statements):
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    if extension != "-":
        db.enable_load_extension(True)
        db.load_extension(extension)
        db.enable_load_extension(False)

    def run(sql):
        cursor = db.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row)) for row in cursor]

    return each(statements, run)


def duckdb(path, _, statements):
    import duckdb as library
    import duckdb_extension_sqlite_scanner as scanner

    folder = os.path.join(os.path.dirname(scanner.__file__), "extensions", f"v{library.__version__}")
    db = library.connect()
    db.execute(f"LOAD '{folder}/sqlite_scanner.duckdb_extension'")
    db.execute(f"ATTACH '{path}' AS shewhart (TYPE sqlite, READ_ONLY)")

    def run(sql):
        # A statement in DuckDB's own dialect names its source itself.
        cursor = db.execute(sql) if "sqlite_query(" in sql else db.execute("FROM sqlite_query('shewhart', ?)", [sql])
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row)) for row in cursor.fetchall()]

    return each(statements, run)


def datasette(path, extension, statements):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "datasette", "serve", path, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--setting", "sql_time_limit_ms", "30000", "--setting", "max_returned_rows", "10000"]
    command += ["--load-extension", extension] if extension != "-" else []
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    base = f"http://127.0.0.1:{port}"
    name = urllib.parse.quote(os.path.basename(path).rsplit(".", 1)[0])
    try:
        wait(server, f"{base}/-/versions.json")

        def run(sql):
            query = urllib.parse.urlencode({"sql": sql, "_shape": "objects"})
            try:
                with urllib.request.urlopen(f"{base}/{name}.json?{query}", timeout=60) as answer:
                    return json.load(answer)["rows"]
            except urllib.error.HTTPError as error:
                raise RuntimeError(error.read().decode()) from error

        return each(statements, run)
    finally:
        server.terminate()
        server.wait()


def wait(server, url):
    """Until it answers; what it wrote where it does not."""
    for _ in range(300):
        if server.poll() is not None:
            raise SystemExit(f"datasette ended: {server.stderr.read()}")
        try:
            with urllib.request.urlopen(url, timeout=10):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("datasette does not answer")


if __name__ == "__main__":
    client, database, extension = sys.argv[1:4]
    run = {"python": python, "duckdb": duckdb, "datasette": datasette}[client]
    json.dump(run(database, extension, json.load(sys.stdin)), sys.stdout, default=str)
