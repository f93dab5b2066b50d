"""A stand-in for Supabase Auth over the real table `auth.users`: the calls that the workbench makes, and nothing else.

It is not GoTrue. Shapes, codes and sentences follow its source where the tests look; mails are kept in `mails` instead
of being sent, and `/authorize` plays the provider, who agrees at once. Mail confirmation, rate limits, the list of
allowed addresses, several factors and real providers are not here (README.md says what that leaves untested).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import jwt
import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]
Answer = tuple[int, Any, dict[str, str]]
"""Status, JSON or None, headers."""


class Keys:
    """The project's keys: what they stand for is put in their place by the gateway, as the hosted one does."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.publishable = "sb_publishable_" + "test" * 6
        self.secret_key = "sb_secret_" + "test" * 6
        far = int(time.time()) + 10 * 365 * 86400
        self.anon_jwt = self.sign({"iss": "supabase-test", "role": "anon", "exp": far})
        self.service_jwt = self.sign({"iss": "supabase-test", "role": "service_role", "exp": far})

    def sign(self, claims: Row) -> str:
        return jwt.encode(claims, self.secret, algorithm="HS256")

    def verify(self, token: str) -> Row:
        return jwt.decode(token, self.secret, algorithms=["HS256"], options={"verify_aud": False})

    def role_token(self, apikey: str) -> str | None:
        """The token that a key stands for; None for one that is unknown."""
        if apikey in (self.publishable, self.anon_jwt):
            return self.anon_jwt
        return self.service_jwt if apikey in (self.secret_key, self.service_jwt) else None


class AuthError(Exception):
    """What Auth says no with."""

    def __init__(self, status: int, code: str, message: str, **extra: object) -> None:
        self.status, self.code, self.message, self.extra = status, code, message, extra


@dataclass(frozen=True)
class Asked:
    """A request."""

    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Row


class AuthStub:
    """People, their sessions and the links that were mailed to them."""

    def __init__(self, dsn: str, keys: Keys, url: str) -> None:
        self.dsn, self.keys, self.url = dsn, keys, url
        self.anonymous, self.expiry = True, 3600
        self.mails: list[Row] = []
        """`email` and `link` of each, the newest last."""
        self.oauth_profile = {"email": "octo@example.com", "user_name": "octo"}
        self._refresh: dict[str, Row] = {}
        self._sessions: set[str] = set()
        self._flows: dict[str, Row] = {}  # a code, until it is redeemed
        self._links: dict[str, Row] = {}  # what a mail or generate_link gave away, until it is used
        self._lock = threading.Lock()
        self._routes: dict[tuple[str, str], Callable[[Asked], Answer]] = {
            ("GET", "/health"): lambda asked: (200, {"name": "auth-stub"}, {}),
            ("GET", "/settings"): self._settings,
            ("POST", "/signup"): self._signup,
            ("POST", "/token"): self._token,
            ("POST", "/otp"): self._otp,
            ("GET", "/verify"): self._clicked,
            ("POST", "/verify"): self._verify,
            ("GET", "/authorize"): self._authorize,
            ("GET", "/user"): lambda asked: (200, self._shown(self._bearer(asked)[1]), {}),
            ("PUT", "/user"): self._change,
            ("POST", "/logout"): self._logout,
            ("POST", "/admin/generate_link"): self._generate_link,
        }

    def handle(self, method: str, path: str, asked: Asked) -> Answer:
        """One request."""
        if found := self._routes.get((method, path)):
            return found(asked)
        if path == "/admin/users" or path.startswith("/admin/users/"):
            return self._admin(method, path.removeprefix("/admin/users").strip("/"), asked)
        raise AuthError(404, "not_implemented_in_stub", f"{method} {path} is not in the stand-in")

    # -- people --------------------------------------------------------------------------------------------------------

    def sql(self, query: str, *values: object) -> list[Row]:
        """Rows of a query, as the database's superuser."""
        with psycopg.connect(self.dsn, row_factory=dict_row, autocommit=True) as db:
            asked = db.execute(query, values)
            return asked.fetchall() if asked.description else []

    def create(
        self,
        email: str | None = None,
        password: str | None = None,
        meta: Row | None = None,
        *,
        id: str | None = None,
        provider: str = "email",
        anonymous: bool = False,
        app: Row | None = None,
    ) -> Row:
        """Somebody new."""
        if email and self._by_email(email):
            raise AuthError(422, "user_already_exists", "User already registered")
        if id and self.sql("select 1 from auth.users where id = %s", id):
            raise AuthError(500, "unexpected_failure", "Database error creating new user")
        told = {} if anonymous else {"provider": provider, "providers": [provider]}
        return self.sql(
            "insert into auth.users (id, email, encrypted_password, raw_app_meta_data, raw_user_meta_data,"
            " is_anonymous) values (%s,%s,%s,%s,%s,%s) returning *",
            id or uuid.uuid4(), email and email.lower(), password and _hash(password), json.dumps(told | (app or {})),
            json.dumps(meta or {}), anonymous,
        )[0]  # fmt: skip

    def _by_email(self, email: object) -> Row | None:
        found = self.sql("select * from auth.users where email = %s", str(email or "").lower())
        return found[0] if found else None

    def _shown(self, user: Row) -> Row:
        made, email = user["created_at"].isoformat(), user["email"]
        shown = {
            "id": str(user["id"]), "aud": "authenticated", "role": "authenticated", "email": email or "", "phone": "",
            "app_metadata": user["raw_app_meta_data"], "user_metadata": user["raw_user_meta_data"], "identities": [],
            "created_at": made, "updated_at": user["updated_at"].isoformat(), "is_anonymous": user["is_anonymous"],
        }  # fmt: skip
        if email:
            shown |= {"email_confirmed_at": made, "confirmed_at": made, "last_sign_in_at": _moment()}
            shown["identities"] = [
                {
                    "identity_id": str(uuid.uuid5(user["id"], "email")), "id": str(user["id"]),
                    "user_id": str(user["id"]), "identity_data": {"email": email, "sub": str(user["id"])},
                    "provider": user["raw_app_meta_data"].get("provider", "email"), "last_sign_in_at": made,
                    "created_at": made, "updated_at": made,
                }
            ]  # fmt: skip
        return shown

    # -- sessions ------------------------------------------------------------------------------------------------------

    def session(self, user: Row, method: str, session: str | None = None) -> Row:
        """Tokens of somebody; of a session that there is, or a new one."""
        at, session = int(time.time()), session or str(uuid.uuid4())
        claims = {
            "iss": self.url + "/auth/v1", "sub": str(user["id"]), "aud": "authenticated", "exp": at + self.expiry,
            "iat": at, "email": user["email"] or "", "phone": "", "app_metadata": user["raw_app_meta_data"],
            "user_metadata": user["raw_user_meta_data"], "role": "authenticated", "aal": "aal1",
            "amr": [{"method": method, "timestamp": at}], "session_id": session, "is_anonymous": user["is_anonymous"],
        }  # fmt: skip
        refresh = secrets.token_urlsafe(9)
        with self._lock:
            self._sessions.add(session)
            self._refresh[refresh] = {"user": user["id"], "session": session, "used": False, "method": method}
        return {
            "access_token": self.keys.sign(claims), "token_type": "bearer", "expires_in": self.expiry,
            "expires_at": at + self.expiry, "refresh_token": refresh, "user": self._shown(user),
        }  # fmt: skip

    def _bearer(self, asked: Asked) -> tuple[Row, Row]:
        """The claims and the person of a request's token."""
        try:
            claims = self.keys.verify(_token_of(asked))
        except jwt.PyJWTError as error:
            said = f"invalid JWT: unable to parse or verify signature, {error}"
            raise AuthError(403, "bad_jwt", said) from error
        if "sub" not in claims:
            raise AuthError(403, "bad_jwt", "invalid claim: missing sub claim")
        if claims.get("session_id") not in self._sessions:
            raise AuthError(403, "session_not_found", "Session from session_id claim in JWT does not exist")
        found = self.sql("select * from auth.users where id = %s", claims["sub"])
        if not found:
            raise AuthError(403, "user_not_found", "User from sub claim in JWT does not exist")
        return claims, found[0]

    # -- routes --------------------------------------------------------------------------------------------------------

    def _settings(self, asked: Asked) -> Answer:
        external = {"anonymous_users": self.anonymous, "email": True, "github": True}
        return 200, {"external": external, "disable_signup": False}, {}

    def _signup(self, asked: Asked) -> Answer:
        body = asked.body
        if not body.get("email"):
            if not self.anonymous:
                raise AuthError(422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled")
            return 200, self.session(self.create(anonymous=True, meta=body.get("data")), "anonymous"), {}
        if len(body.get("password") or "") < 6:
            said = "Password should be at least 6 characters."
            raise AuthError(422, "weak_password", said, weak_password={"reasons": ["length"]})
        return 200, self.session(self.create(body["email"], body["password"], body.get("data")), "password"), {}

    def _token(self, asked: Asked) -> Answer:
        grant, body = asked.query.get("grant_type"), asked.body
        if grant == "password":
            user = self._by_email(body.get("email"))
            if user is None or not _fits(body.get("password") or "", user["encrypted_password"]):
                raise AuthError(400, "invalid_credentials", "Invalid login credentials")
            return 200, self.session(user, "password"), {}
        if grant == "refresh_token":
            return 200, self._renewed(body.get("refresh_token") or ""), {}
        if grant != "pkce":
            raise AuthError(400, "validation_failed", f"unsupported_grant_type {grant}")
        flow = self._flows.pop(body.get("auth_code") or "", None)
        if flow is None:
            raise AuthError(404, "flow_state_not_found", "invalid flow state, no valid flow state found")
        if not hmac.compare_digest(_challenge(body.get("code_verifier") or ""), flow["challenge"]):
            said = "code challenge does not match previously saved code verifier"
            raise AuthError(400, "bad_code_verifier", said)
        user = self.sql("select * from auth.users where id = %s", flow["user"])[0]
        return 200, self.session(user, flow["method"]), {}

    def _renewed(self, token: str) -> Row:
        with self._lock:
            found = self._refresh.get(token)
            if found is None or found["session"] not in self._sessions:
                raise AuthError(400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
            if found["used"]:
                self._sessions.discard(found["session"])
                raise AuthError(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")
            found["used"] = True
        user = self.sql("select * from auth.users where id = %s", found["user"])[0]
        return self.session(user, found["method"], found["session"])

    def _otp(self, asked: Asked) -> Answer:
        """A mail with a link; who is new becomes a person by it."""
        email = asked.body.get("email") or ""
        user = self._by_email(email) or self.create(email, meta=asked.body.get("data"))
        once = self._link(user, asked.body.get("code_challenge") or "")
        query = {"token": once, "type": "magiclink", "redirect_to": asked.query.get("redirect_to") or self.url}
        self.mails.append({"email": email, "link": f"{self.url}/auth/v1/verify?{urlencode(query)}"})
        return 200, {}, {}

    def _clicked(self, asked: Asked) -> Answer:
        """The link of a mail: back to the workbench with a code that only the browser that asked can redeem."""
        found = self._links.pop(asked.query.get("token") or "", None)
        if found is None:
            told = {"error": "access_denied", "error_code": "otp_expired", "error_description": "Email link is invalid"}
        else:
            told = {"code": self._flow(found["user"], found["challenge"], "otp")}
        return 303, None, {"Location": _joined(asked.query.get("redirect_to") or self.url, told)}

    def _verify(self, asked: Asked) -> Answer:
        found = self._links.pop(asked.body.get("token_hash") or "", None)
        if found is None:
            raise AuthError(403, "otp_expired", "Email link is invalid or has expired")
        user = self.sql("select * from auth.users where id = %s", found["user"])[0]
        return 200, self.session(user, "otp"), {}

    def _authorize(self, asked: Asked) -> Answer:
        email = self.oauth_profile["email"]
        provider = asked.query.get("provider") or "github"
        user = self._by_email(email) or self.create(email, meta=dict(self.oauth_profile), provider=provider)
        code = self._flow(user["id"], asked.query.get("code_challenge") or "", "oauth")
        return 302, None, {"Location": _joined(asked.query.get("redirect_to") or self.url, {"code": code})}

    def _change(self, asked: Asked) -> Answer:
        _, user = self._bearer(asked)
        email, password = asked.body.get("email"), asked.body.get("password")
        changed = self.sql(
            "update auth.users set raw_user_meta_data = raw_user_meta_data || %s, email = coalesce(%s, email),"
            " is_anonymous = is_anonymous and %s::text is null,"
            " encrypted_password = coalesce(%s, encrypted_password), updated_at = now() where id = %s returning *",
            json.dumps(asked.body.get("data") or {}), email, email, password and _hash(password), user["id"],
        )[0]  # fmt: skip
        return 200, self._shown(changed), {}

    def _logout(self, asked: Asked) -> Answer:
        claims, user = self._bearer(asked)
        scope, own = asked.query.get("scope", "global"), claims["session_id"]
        with self._lock:
            all_own = {found["session"] for found in self._refresh.values() if found["user"] == user["id"]}
            ends = {"local": {own}, "others": all_own - {own}}.get(scope, all_own | {own})
            self._sessions -= ends
        return 204, None, {}

    # -- with the secret key -------------------------------------------------------------------------------------------

    def _master(self, asked: Asked) -> None:
        if self.keys.role_token(_token_of(asked)) != self.keys.service_jwt:
            raise AuthError(403, "not_admin", "User not allowed")

    def _generate_link(self, asked: Asked) -> Answer:
        self._master(asked)
        user = self._by_email(asked.body.get("email"))
        if user is None:
            raise AuthError(404, "user_not_found", "User with this email not found")
        once = self._link(user, "")
        told = {
            "action_link": f"{self.url}/auth/v1/verify?token={once}", "email_otp": "000000", "hashed_token": once,
            "verification_type": asked.body["type"], "redirect_to": self.url,
        }  # fmt: skip
        return 200, self._shown(user) | told, {}

    def _admin(self, method: str, id: str, asked: Asked) -> Answer:
        self._master(asked)
        body = asked.body
        if method == "POST" and not id:
            made = self.create(
                body.get("email"), body.get("password"), body.get("user_metadata"), id=body.get("id"),
                app=body.get("app_metadata"),
            )  # fmt: skip
            return 200, self._shown(made), {}
        if method == "GET" and not id:
            users = self.sql("select * from auth.users order by created_at")
            return 200, {"users": [self._shown(user) for user in users], "aud": "authenticated"}, {}
        found = self.sql("select * from auth.users where id = %s", id)
        if not found:
            raise AuthError(404, "user_not_found", "User not found")
        if method == "GET":
            return 200, self._shown(found[0]), {}
        if method == "DELETE":
            self.sql("delete from auth.users where id = %s", id)
            return 200, {}, {}
        raise AuthError(405, "bad_method", method)

    def _flow(self, user: object, challenge: str, method: str) -> str:
        code = str(uuid.uuid4())
        self._flows[code] = {"user": user, "challenge": challenge, "method": method}
        return code

    def _link(self, user: Row, challenge: str) -> str:
        once = f"pkce_{secrets.token_hex(28)}" if challenge else secrets.token_hex(28)
        self._links[once] = {"user": user["id"], "challenge": challenge}
        return once


def _token_of(asked: Asked) -> str:
    return (asked.headers.get("Authorization") or "").removeprefix("Bearer ").strip()


def _joined(address: str, query: Mapping[str, str]) -> str:
    return address + ("&" if "?" in address else "?") + urlencode(query)


def _moment() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _hash(password: str, salt: bytes | None = None) -> str:
    salt = salt or os.urandom(16)
    return base64.b64encode(salt + hashlib.scrypt(password.encode(), salt=salt, n=2**10, r=8, p=1)).decode()


def _fits(password: str, kept: str | None) -> bool:
    if not kept:
        return False
    return hmac.compare_digest(_hash(password, base64.b64decode(kept)[:16]), kept)
