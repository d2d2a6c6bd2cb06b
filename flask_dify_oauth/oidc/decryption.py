"""Takes signed tokens out of encrypted ones (JWE, RFC 7516; OpenID Connect Core, section 10.2)."""

from __future__ import annotations

from typing import Any

from joserfc import jwe
from joserfc.errors import JoseError

from ..errors import TokenRefused
from ..judging_keys import PrivateKey
from .jws import MOST_BYTES, decode_segment, peek
from .strict import StrictError, json_object, optional_text, text

__all__ = ["CONTENT_ENCRYPTION", "Decryption", "is_encrypted"]

#: How what is inside may be encrypted (RFC 7518, section 5).
CONTENT_ENCRYPTION = ("A128GCM", "A256GCM", "A128CBC-HS256", "A256CBC-HS512")
_MOST_HEADER = 16_384
#: claims that may stand in the header too, and then must be the same (RFC 7519, section 5.3)
_REPLICATED = ("iss", "sub", "aud")


def is_encrypted(raw: str) -> bool:
    """Whether a text has the form of an encrypted token: five parts (RFC 7516, section 3.1)."""
    return raw.count(".") == 4


class _Registry(jwe.JWERegistry):
    """Bounds in bytes; the header is judged before, by our own rules."""

    max_protected_header_length = _MOST_HEADER
    max_encrypted_key_length = 2048  # of an RSA key of 16384 bits
    max_ciphertext_length = MOST_BYTES
    max_aad_length = MOST_BYTES


class Decryption:
    """What the application can read with its own keys.

    :param keys: none: tokens are not encrypted.
    :param plain: whether ID tokens may be unencrypted all the same.
    """

    def __init__(self, keys: tuple[PrivateKey, ...], *, plain: bool = False) -> None:
        self._keys = keys
        self._plain = plain or not keys

    def signed_id_token(self, raw: str) -> str:
        """The signed ID token, by the rule: where there are keys, it must have been encrypted.

        :raises TokenRefused: it was not, or it cannot be read.
        """
        if not self._plain and not is_encrypted(raw):
            raise TokenRefused(
                "the ID token is not encrypted, though there is a key for it; encrypt it at the"
                " provider, or set DIFY_OAUTH_ALLOW_PLAIN_ID_TOKENS"
            )
        return self.signed(raw)

    def signed(self, raw: str) -> str:
        """The signed token inside an encrypted one; any other token as it is.

        :raises TokenRefused: it cannot be read.
        """
        if not is_encrypted(raw):
            return raw
        if not self._keys:
            raise TokenRefused("the token is encrypted; set DIFY_OAUTH_DECRYPTION_KEY")
        if len(raw) > MOST_BYTES:
            raise TokenRefused("the encrypted token is too long")
        try:
            header = json_object(decode_segment(raw.partition(".")[0].encode("utf-8", "replace")))
            inner = self._decrypted(raw, header)
            self._compare(header, inner)
        except StrictError as error:
            raise TokenRefused(f"the encrypted token: {error}") from None
        return inner

    def _decrypted(self, raw: str, header: dict[str, Any]) -> str:
        alg, enc = text(header, "alg"), text(header, "enc")
        kid, kind = optional_text(header, "kid"), optional_text(header, "cty")
        if header.keys() & {"crit", "zip"}:
            # A few bytes may unpack without end; what is critical and unknown is refused.
            raise StrictError("its header asks for an extension")
        if kind is not None and kind.lower().removeprefix("application/") != "jwt":
            raise StrictError(f"holds {kind!r}")
        if enc not in CONTENT_ENCRYPTION:
            raise StrictError(f"is encrypted with {enc!r}")
        fitting = [key for key in self._keys if key.fits(alg)]
        if not fitting:
            raise StrictError(f"is encrypted with {alg!r}, for which there is no key")
        named = [key for key in fitting if kid is None or key.kid in (kid, None)]
        if not named:
            raise StrictError(f"is encrypted to the key {kid!r}, which is none of ours")
        registry = _Registry(algorithms=(alg, enc), strict_check_header=False)
        for key in named:
            try:
                plain = jwe.decrypt_compact(raw, key.key, registry=registry).plaintext
            except (JoseError, ValueError, TypeError, KeyError, AssertionError):
                continue
            # Of the form of a signed token, or verification refuses it.
            return (plain or b"").decode("ascii", "replace")
        raise StrictError("cannot be decrypted")

    @staticmethod
    def _compare(header: dict[str, Any], inner: str) -> None:
        told = [name for name in _REPLICATED if name in header]
        if not told:
            return
        claims = peek(inner)
        if any(header[name] != claims.get(name) for name in told):
            raise StrictError("its header names another issuer, subject or audience")
