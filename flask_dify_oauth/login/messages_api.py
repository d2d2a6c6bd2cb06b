"""What is said to programs: those that bring access tokens, and those of administrators."""

from __future__ import annotations

from .message import N_, Message

__all__ = ["API_MESSAGES"]

API_MESSAGES: dict[str, Message] = {
    "no_service_token": Message(
        N_("Another service could not be asked"),
        N_("This page needs something from another service, and we were not let in there."),
        N_("Trying again may help. If not, only the people who run this application can fix it."),
        N_(
            "The log shows the provider's error. It must allow this application the grant, and the"
            " audience, resource or scope that is asked for."
        ),
    ),
    "no_token": Message(
        N_("An access token is needed"),
        N_("This address is for programs, and the request came without an access token."),
        N_("Send an access token for this API in the header Authorization."),
    ),
    "invalid_token": Message(
        N_("This access token does not count here"),
        N_("The access token is damaged, expired, revoked, or meant for somebody else."),
        N_("Get a new access token for this API and send it."),
        N_("The log says which check failed."),
    ),
    "invalid_authorization": Message(
        N_("This request cannot be used"),
        N_("The request carries more than one access token, or not in the right way."),
        N_("Send one access token, in the header Authorization and nowhere else."),
    ),
    "invalid_dpop_proof": Message(
        N_("The proof of the key does not count"),
        N_("The access token belongs to a key, and the request does not prove that you have it."),
        N_("Send a new proof for this request in the header DPoP."),
        N_("The log says what is wrong with the proof."),
    ),
    "people_only": Message(
        N_("This is for people"),
        N_("The access token belongs to a program, and no person stands behind it."),
        N_("Send an access token that a person has asked for."),
        N_("A view that programs may use says so: machines=True."),
    ),
    "insufficient_scope": Message(
        N_("This application may not do that for you"),
        N_("You are signed in, but a permission that this needs was not given when you signed in."),
        N_("Sign in again and agree to what is asked, use another account, or ask for access."),
        N_(
            "Compare the scopes that the log names with DIFY_OAUTH_SCOPES and with those that the"
            " provider gives to this application and this person."
        ),
    ),
    "admin_key": Message(
        N_("This is for administrators"),
        N_("The request came without the administrators' key, or with a wrong one."),
        N_("Send the key in the header Authorization, after the word Bearer."),
        N_("The keys are in DIFY_OAUTH_ADMIN_KEY. Each refusal stands in the audit trail."),
    ),
    "unknown_session": Message(
        N_("There is no such session"),
        N_("No living session has this id."),
        N_("Ask for the list of sessions again; this one may have ended."),
    ),
}
